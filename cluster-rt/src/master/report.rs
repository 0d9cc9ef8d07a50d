//! What the master says: life-cycle lines on stderr, or to `tracing` when a subscriber is set.
//!
//! Through a bounded queue and a thread of its own, since writing can block for ever: stderr may be a
//! pipe that nobody reads, and any worker can fill it. Lines that do not fit are counted and the count
//! is said. A closed stderr is no error.

use std::{
    io,
    process::ExitStatus,
    sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError},
    thread,
    time::{Duration, Instant},
};

use super::{memory, supervisor::USAGE_CODES};
use crate::{
    config::LogLevel,
    event::{Event, ExitCause},
    stats::Stats,
    sys::{signal, wake::poll_until},
};

/// Lines that wait for the thread. A line is short, so this is some 100 KiB at most.
const LINES_MAX: usize = 512;

/// How long the end of the master waits for the last lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(250);

#[derive(Debug)]
enum Order {
    Line {
        level: LogLevel,
        text: String,
    },
    /// Asked for, so it is written at any level.
    Stats(Box<Stats>),
    Flush(SyncSender<()>),
}

/// The way to the thread.
#[derive(Clone, Debug)]
pub(super) struct Report {
    level: LogLevel,
    queue: SyncSender<Order>,
    dropped: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Report {
    pub(super) fn start(level: LogLevel) -> io::Result<Self> {
        let (queue, lines) = mpsc::sync_channel(LINES_MAX);
        let dropped = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counted = std::sync::Arc::clone(&dropped);
        thread::Builder::new().name("cluster-report".to_owned()).spawn(move || {
            signal::block_on_this_thread();
            for order in lines {
                let lost = counted.swap(0, std::sync::atomic::Ordering::Relaxed);
                if lost > 0 {
                    write(
                        LogLevel::Warn,
                        &format!("{lost} lines were not written: stderr was full"),
                    );
                }
                match order {
                    Order::Line { level, text } => write(level, &text),
                    Order::Stats(mut stats) => {
                        memory::measure(&mut stats);
                        write(LogLevel::Info, &stats.to_string());
                    }
                    Order::Flush(done) => drop(done.send(())),
                }
            }
        })?;
        Ok(Self { level, queue, dropped })
    }

    pub(super) fn info(&self, text: String) {
        self.say(LogLevel::Info, text);
    }

    pub(super) fn warn(&self, text: String) {
        self.say(LogLevel::Warn, text);
    }

    fn say(&self, level: LogLevel, text: String) {
        if level <= self.level {
            self.queue(Order::Line { level, text });
        }
    }

    /// Prints the statistics, with the workers' memory.
    pub(super) fn stats(&self, stats: Stats) {
        self.queue(Order::Stats(Box::new(stats)));
    }

    fn queue(&self, order: Order) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(order) {
            self.dropped.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Waits until what was said is written, but not long.
    pub(super) fn flush(&self) {
        let (done, written) = mpsc::sync_channel(1);
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let mut order = Order::Flush(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(order) {
            if Instant::now() > deadline {
                return;
            }
            order = back;
            thread::sleep(Duration::from_millis(5));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match written.recv_timeout(left) {
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    /// Says what a person reading along wants to know of `events`: exits with what follows them, and
    /// the troubles; not each step of a start.
    ///
    /// A program that prints its usage and exits before anything `ever_ready` has said all there is.
    pub(super) fn events(&self, events: &[Event], ever_ready: bool) {
        for (at, event) in events.iter().enumerate() {
            match event {
                Event::Exited { slot, lost, cause, status, .. } => {
                    let next = events[at + 1..].iter().find_map(|event| match event {
                        Event::Respawning { slot: of, delay, .. } if of == slot => Some(delay),
                        _ => None,
                    });
                    let text = match next {
                        Some(delay) => format!("{event}; respawning in {} ms", delay.as_millis()),
                        None if !ever_ready && says_its_own(*cause, *status) => continue,
                        None => event.to_string(),
                    };
                    if *lost > 0 || is_failure(*cause) { self.warn(text) } else { self.info(text) }
                }
                Event::GaveUp { .. } | Event::ZygoteExited { .. } => self.warn(event.to_string()),
                Event::ReloadStarted { .. }
                | Event::ReloadFinished { .. }
                | Event::Resharded { .. } => self.info(event.to_string()),
                Event::ReloadFailed { .. } => self.warn(event.to_string()),
                _ => {}
            }
        }
    }
}

/// Whether somebody has to look into it who reads no more than warnings.
fn is_failure(cause: ExitCause) -> bool {
    match cause {
        ExitCause::FailedToStart
        | ExitCause::Crashed(_)
        | ExitCause::Signaled { .. }
        | ExitCause::Hung => true,
        ExitCause::Finished(_) | ExitCause::Stopped | ExitCause::Recycled => false,
    }
}

/// The exit of a program that printed its help, or what is wrong with its arguments.
fn says_its_own(cause: ExitCause, status: ExitStatus) -> bool {
    let usage = |code: i32| code == 0 || USAGE_CODES.contains(&code);
    cause != ExitCause::Stopped && status.code().is_some_and(usage)
}

fn write(level: LogLevel, text: &str) {
    // The subscriber is the user's: one that panics, as some do when they cannot write, loses its line to stderr
    // and not this thread with all lines to come.
    let told = tracing::dispatcher::has_been_set()
        && std::panic::catch_unwind(|| match level {
            LogLevel::Warn => tracing::warn!(target: "cluster", "{text}"),
            LogLevel::Info | LogLevel::Off => tracing::info!(target: "cluster", "{text}"),
        })
        .is_ok();
    if !told {
        to_stderr(format!("cluster: {text}\n").as_bytes());
    }
}

/// Writes all of `text`, waiting for room as long as it takes; gives up if stderr is closed.
///
/// By `write(2)` and not `eprintln!`, which panics when stderr is closed and holds a lock that user
/// code may want while it blocks.
pub(super) fn to_stderr(text: &[u8]) {
    use rustix::{
        event::{PollFd, PollFlags},
        io::Errno,
        stdio::stderr,
    };
    let mut rest = text;
    while !rest.is_empty() {
        match rustix::io::write(stderr(), rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            // Another program may have made the shared description non-blocking.
            Err(Errno::AGAIN) => {
                let fd = stderr();
                let _ = poll_until(&mut [PollFd::new(&fd, PollFlags::OUT)], None);
            }
            Err(_) => return,
        }
    }
}
