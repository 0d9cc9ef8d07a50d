//! `workers = 0`: this process is the worker of slot 0, without a master, for debuggers and tests.
//!
//! Listeners are plain sockets here. What the master would do at TERM, INT and `grace` is done by one
//! thread of this file.

use std::{
    io::{self, Write},
    sync::atomic::AtomicBool,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags};

use super::{
    Current,
    current::{self, Backing},
    drain::LOOK_INTERVAL,
    handle::Identity,
    mail,
    orders::look_after_drain,
};
use crate::{
    config::{Config, LogLevel},
    id::WorkerId,
    notify::{self, Notify},
    sys::{
        inherited::AtStart,
        process,
        scoreboard::Scoreboard,
        signal::{self, Disposition},
        wake::{Wake, poll_until},
    },
};

/// A second INT ends the process at once, but a key held down is one INT.
const SECOND_INTERRUPT: Duration = Duration::from_secs(1);

/// What has bound nothing by then serves without.
const READY_AFTER: Duration = Duration::from_secs(1);

/// A service manager that wants to be told; without a master, by this process.
#[derive(Debug)]
struct Manager {
    notify: Notify,
    begun: Instant,
}

impl Manager {
    fn new(asked: notify::Asked) -> Option<Self> {
        let begun = Instant::now();
        match Notify::new(asked, begun) {
            Ok(notify) => notify.map(|notify| Self { notify, begun }),
            Err(error) => {
                complain(&error);
                None
            }
        }
    }

    /// Tells what is to be told; when to come back.
    fn tell(&mut self, current: &Current, stopping: bool) -> Option<Instant> {
        let now = Instant::now();
        let late = self.begun + READY_AFTER;
        let ready = current.serves() || late <= now;
        if ready {
            self.notify.ready();
        }
        if stopping {
            self.notify.stopping();
        }
        if self.notify.is_due(now) {
            self.notify.alive();
        }
        self.notify.flush(now).unwrap_or_else(|error| complain(&error));
        let late = (!ready).then_some(late);
        late.into_iter().chain(self.notify.next_deadline()).min()
    }
}

fn complain(error: &io::Error) {
    warn(&format!("NOTIFY_SOCKET: {error}; the service manager is not told"));
}

fn warn(text: &str) {
    // Nobody who could be told reads it then.
    let _ = io::stderr().write_all(format!("cluster: {text}\n").as_bytes());
}

/// When to tell of sockets of a service manager that nobody took: a moment after this process serves.
#[derive(Debug, Default)]
struct Untaken {
    at: Option<Instant>,
    told: bool,
}

impl Untaken {
    /// Tells if it is time; when to come back.
    fn tell(&mut self, current: &Current) -> Option<Instant> {
        let Backing::Solo { at_start, .. } = &current.backing else { return None };
        if self.told || !current.serves() {
            return None;
        }
        let now = Instant::now();
        let at = *self.at.get_or_insert(now + READY_AFTER);
        if now < at {
            return Some(at);
        }
        self.told = true;
        at_start.untaken().iter().for_each(|text| warn(text));
        None
    }
}

/// Makes this process the worker of slot 0.
pub(super) fn start(config: &Config, mut at_start: AtStart) -> io::Result<&'static Current> {
    let manager = Manager::new(std::mem::take(&mut at_start.notify));
    let wake = Wake::new()?;
    signal::ring_on(&wake)?;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        if signal::disposition(signal) != Disposition::Ignored {
            signal::watch(signal);
        }
    }
    let row = Scoreboard::private().row(0).ok_or(io::ErrorKind::NotFound)?;
    let identity = Identity { id: WorkerId(1), slot: 0, generation: 1, service: None };
    let backing = Backing::Solo { at_start, serves: AtomicBool::new(false) };
    let current = current::set(Current::new(identity, backing, wake, row, true));
    mail::open_alone(identity, row)?;
    let (stop_delay, grace) = (config.stop_delay, config.grace);
    let untaken = Untaken { at: None, told: config.log < LogLevel::Warn };
    thread::Builder::new().name("cluster-solo".to_owned()).spawn(move || {
        signal::block_on_this_thread();
        supervise(current, (manager, untaken), stop_delay, grace);
    })?;
    Ok(current)
}

fn supervise(
    current: &'static Current,
    (mut manager, mut untaken): (Option<Manager>, Untaken),
    stop_delay: Duration,
    grace: Duration,
) {
    let (mut asked, mut interrupted, mut draining) = (None, None::<Instant>, None::<Instant>);
    loop {
        let look = asked.map(|_| Instant::now() + LOOK_INTERVAL);
        let tell = manager.as_mut().and_then(|manager| manager.tell(current, asked.is_some()));
        let next = look.into_iter().chain(tell).chain(untaken.tell(current)).min();
        let _ = poll_until(&mut [PollFd::new(&current.wake, PollFlags::IN)], next);
        current.wake.hush();
        let now = Instant::now();
        for signal in signal::take() {
            if signal == Signal::SIGINT {
                match interrupted {
                    Some(first) if now.duration_since(first) >= SECOND_INTERRUPT => {
                        process::exit_now(128 + Signal::SIGINT as i32)
                    }
                    _ => {
                        interrupted.get_or_insert(now);
                    }
                }
            }
            asked.get_or_insert(now);
        }
        if current.drain.take_stop_asked() {
            asked.get_or_insert(now);
        }
        if asked.is_some() {
            current.stopping.send_replace(true);
            // Before the drain, with which this process may end before this comes round again.
            manager.as_mut().and_then(|manager| manager.tell(current, true));
        }
        if asked.is_some_and(|at| now.duration_since(at) >= stop_delay) && current.drain.begin() {
            draining = Some(now);
        }
        let Some(since) = draining else { continue };
        if look_after_drain(current, since) {
            // What was raised just now is no key of the user's.
            interrupted = Some(now);
        }
        if now.duration_since(since) >= grace {
            process::exit_now(0);
        }
    }
}
