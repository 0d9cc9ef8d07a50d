//! `workers = 0`: this process is the worker of slot 0, without a master, for debuggers and tests.
//!
//! Listeners are plain sockets here. What the master would do at TERM, INT and `grace` is done by one
//! thread of this file.

use std::{
    io, thread,
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
    config::Config,
    id::WorkerId,
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

/// Makes this process the worker of slot 0.
pub(super) fn start(config: &Config, at_start: AtStart) -> io::Result<&'static Current> {
    let wake = Wake::new()?;
    signal::ring_on(&wake)?;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        if signal::disposition(signal) != Disposition::Ignored {
            signal::watch(signal);
        }
    }
    let row = Scoreboard::private().row(0).ok_or(io::ErrorKind::NotFound)?;
    let identity = Identity { id: WorkerId(1), slot: 0, generation: 1, service: None };
    let backing = Backing::Solo { at_start };
    let current = current::set(Current::new(identity, backing, wake, row, true));
    mail::open_alone(identity, row)?;
    let (stop_delay, grace) = (config.stop_delay, config.grace);
    thread::Builder::new().name("cluster-solo".to_owned()).spawn(move || {
        signal::block_on_this_thread();
        supervise(current, stop_delay, grace);
    })?;
    Ok(current)
}

fn supervise(current: &'static Current, stop_delay: Duration, grace: Duration) {
    let (mut asked, mut interrupted, mut draining) = (None, None::<Instant>, None::<Instant>);
    loop {
        let next = asked.map(|_| Instant::now() + LOOK_INTERVAL);
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
