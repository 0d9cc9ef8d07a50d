//! The stderr of a reload's newcomers: passed on to the master's own, and its last lines kept.
//!
//! They say why a newcomer failed. A thread passes on what comes, since writing may block; the supervisor's
//! thread can ask for the lines at any time and gets everything that was written before. Holds 16 KiB of lines
//! and 64 KiB that wait to be passed on; beyond that the newcomers wait, as they would for stderr itself.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};

use super::report::to_stderr;
use crate::sys::{
    signal,
    wake::{Wake, poll_until},
};

/// Lines that are told with a failure.
const LINES_MAX: usize = 20;
/// Of each of them.
const LINE_BYTES_MAX: usize = 800;
/// What may wait to be passed on.
const PENDING_BYTES_MAX: usize = 64 * 1024;

/// Ends when it is dropped and every newcomer that has the pipe has ended or gone back to its own stderr.
#[derive(Debug)]
pub(super) struct Capture {
    writer: Arc<OwnedFd>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    reader: OwnedFd,
    state: Mutex<State>,
    /// Rung when something waits to be passed on that the thread has not read itself.
    wake: Wake,
}

#[derive(Debug, Default)]
struct State {
    tail: Tail,
    pending: Vec<u8>,
    ended: bool,
}

impl Capture {
    pub(super) fn start() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        // Only this end: a program whose stderr does not block may not expect it.
        rustix::io::ioctl_fionbio(&reader, true)?;
        let shared = Arc::new(Shared { reader, state: Mutex::default(), wake: Wake::new()? });
        let of_thread = Arc::clone(&shared);
        thread::Builder::new().name("cluster-capture".to_owned()).spawn(move || {
            signal::block_on_this_thread();
            of_thread.pass_on();
        })?;
        Ok(Self { writer: Arc::new(writer), shared })
    }

    /// What a newcomer is to have as its stderr.
    pub(super) fn writer(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.writer)
    }

    /// The last lines that were written until now.
    pub(super) fn tail(&self) -> Vec<String> {
        let mut state = self.shared.lock();
        self.shared.read(&mut state);
        self.shared.wake.ring();
        state.tail.lines()
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what is there and fits.
    fn read(&self, state: &mut State) {
        let mut buffer = [0; 4096];
        while state.pending.len() + buffer.len() <= PENDING_BYTES_MAX {
            match rustix::io::read(&self.reader, &mut buffer) {
                Ok(0) => return state.ended = true,
                Ok(count) => {
                    state.tail.push(&buffer[..count]);
                    state.pending.extend_from_slice(&buffer[..count]);
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn pass_on(&self) {
        loop {
            let mut fds =
                [PollFd::new(&self.reader, PollFlags::IN), PollFd::new(&self.wake, PollFlags::IN)];
            if poll_until(&mut fds, None).is_err() {
                // ENOMEM is all that is left; a pause, so that it does not become a spin.
                thread::sleep(std::time::Duration::from_millis(10));
            }
            self.wake.hush();
            let (pending, ended) = {
                let mut state = self.lock();
                self.read(&mut state);
                (std::mem::take(&mut state.pending), state.ended)
            };
            // Without the lock: this may block for ever.
            to_stderr(&pending);
            if ended {
                return;
            }
        }
    }
}

/// The last lines of what was written.
#[derive(Debug, Default)]
struct Tail {
    whole: VecDeque<String>,
    begun: Vec<u8>,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line();
            } else if self.begun.len() < LINE_BYTES_MAX {
                self.begun.push(byte);
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.begun);
        self.whole.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
        if self.whole.len() > LINES_MAX {
            self.whole.pop_front();
        }
    }

    fn lines(&self) -> Vec<String> {
        let begun = String::from_utf8_lossy(&self.begun).trim_end().to_owned();
        let begun = Some(begun).filter(|line| !line.is_empty());
        let lines: Vec<String> = self.whole.iter().cloned().chain(begun).collect();
        lines[lines.len().saturating_sub(LINES_MAX)..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_cut_to_a_length() {
        let mut tail = Tail::default();
        for line in 0..100 {
            tail.push(format!("line {line}\n").as_bytes());
        }
        tail.push(&vec![b'x'; 5000]);
        let lines = tail.lines();
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines[LINES_MAX - 2], "line 99");
        assert_eq!(lines[LINES_MAX - 1].len(), LINE_BYTES_MAX);
    }

    #[test]
    fn what_was_written_before_is_in_the_tail_at_once() {
        let capture = Capture::start().expect("a pipe and a thread");
        rustix::io::write(&*capture.writer(), b"said\nbefore").expect("room");
        assert_eq!(capture.tail(), ["said", "before"]);
    }
}
