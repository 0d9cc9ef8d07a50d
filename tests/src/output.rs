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

use crate::{DEADLINE, monotonic_ms};

#[derive(Clone, Debug)]
struct Line {
    text: String,
    /// When it was read, which is after it was written.
    at: f64,
}

/// The end of a worker, by its life-cycle line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct End {
    /// The number of its `WorkerId`.
    pub worker: u64,
    /// How many connections were open.
    pub lost: u64,
    /// When the line was read, on the clock of [`monotonic_ms`]; the end itself was before.
    pub told: f64,
}

#[derive(Debug, Default)]
pub(crate) struct Lines {
    seen: Mutex<Vec<Line>>,
    more: Condvar,
    /// Streams that have not come to their end.
    reading: AtomicUsize,
}

impl Lines {
    pub(crate) fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().expect("no panic while reading");
        seen.iter().map(|line| line.text.clone()).collect()
    }

    /// The ends of workers.
    pub(crate) fn ends(&self) -> Vec<End> {
        self.seen.lock().expect("no panic while reading").iter().filter_map(end).collect()
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
            let texts = seen.iter().map(|line| &line.text);
            let found: Vec<String> = texts.filter(|l| l.contains(text)).cloned().collect();
            if found.len() >= count {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let came: Vec<String> = seen.iter().map(|line| line.text.clone()).collect();
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
            let Ok(text) = line else { break };
            let line = Line { text, at: monotonic_ms() };
            lines.seen.lock().expect("no panic while reading").push(line);
            lines.more.notify_all();
        }
        lines.reading.fetch_sub(1, Ordering::Release);
    });
}

/// The end of a worker, if the line tells one: `cluster: slot 1 (worker 3, pid 811) exited: SIGSEGV, 2
/// connections lost; respawning in 0 ms`.
fn end(line: &Line) -> Option<End> {
    let (who, how) = line.text.strip_prefix("cluster: ")?.split_once(") exited: ")?;
    let (_, worker) = who.rsplit_once("worker ")?;
    let (worker, _) = worker.split_once(',')?;
    let worker = worker.parse().expect("the number of a worker");
    let words: Vec<&str> = how.split([' ', ',', ';']).filter(|w| !w.is_empty()).collect();
    let at = words.iter().position(|word| *word == "lost");
    let lost = at.map_or(0, |at| words[at - 2].parse().expect("a number of connections"));
    Some(End { worker, lost, told: line.at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_from_its_line() {
        let told = |text: &str| end(&Line { text: text.to_owned(), at: 5.0 });
        for (text, worker, lost) in [
            (
                "cluster: slot 1 (worker 3, pid 811) exited: SIGSEGV, 2 connections lost; respawning in 0 ms",
                3,
                2,
            ),
            ("cluster: slot 1 (jobs, worker 30, pid 811) exited: code 0, 1 connection lost", 30, 1),
            ("cluster: slot 0 (worker 1, pid 8) exited: code 0 as asked", 1, 0),
        ] {
            assert_eq!(told(text), Some(End { worker, lost, told: 5.0 }), "{text}");
        }
        assert_eq!(told("cluster: zygote 1 exited: killed"), None);
        assert_eq!(told("slot 1 (worker 3, pid 811) exited: by the program"), None);
    }
}
