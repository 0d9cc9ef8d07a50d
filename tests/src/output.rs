//! What a program wrote to stdout and stderr, line by line, and what the lines say.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use crate::DEADLINE;

#[derive(Debug, Default)]
pub(crate) struct Lines {
    seen: Mutex<Vec<String>>,
    more: Condvar,
    /// Streams that have not come to their end.
    reading: AtomicUsize,
}

impl Lines {
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic while reading").clone()
    }

    /// Whether every stream has come to its end.
    pub(crate) fn are_all(&self) -> bool {
        self.reading.load(Ordering::Acquire) == 0
    }

    /// Waits until `count` lines contain `text`, and returns them.
    pub(crate) fn wait_for(&self, text: &str, count: usize) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut seen = self.seen.lock().expect("no panic while reading");
        loop {
            let found: Vec<String> = seen.iter().filter(|l| l.contains(text)).cloned().collect();
            if found.len() >= count {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let came = seen.clone();
                // Others may want to print it too.
                drop(seen);
                panic!("{count} lines with {text:?} did not come; came: {came:#?}");
            }
            seen = self.more.wait_timeout(seen, left).expect("no panic while reading").0;
        }
    }
}

/// Reads `stream` to its end, on a thread.
pub(crate) fn read(stream: impl Read + Send + 'static, lines: &Arc<Lines>) {
    lines.reading.fetch_add(1, Ordering::Relaxed);
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            lines.seen.lock().expect("no panic while reading").push(line);
            lines.more.notify_all();
        }
        lines.reading.fetch_sub(1, Ordering::Release);
    });
}

/// How many workers ended, by the life-cycle lines, and how many connections they lost.
pub(crate) fn exits(lines: &[String]) -> (usize, u64) {
    let exits = lines.iter().filter(|line| line.starts_with("cluster: ")).filter_map(|line| {
        let (_, how) = line.split_once(") exited: ")?;
        let words: Vec<&str> = how.split([' ', ',', ';']).filter(|w| !w.is_empty()).collect();
        let at = words.iter().position(|word| *word == "lost");
        Some(at.map_or(0, |at| words[at - 2].parse().expect("a number of connections")))
    });
    exits.fold((0, 0), |(count, lost), more: u64| (count + 1, lost + more))
}
