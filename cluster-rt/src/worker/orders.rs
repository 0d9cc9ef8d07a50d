//! The thread that reads the worker's link: answers, the order to drain, the end of the master.
//!
//! A thread and not a task, so that it is heard however busy the user's runtime is, whatever its
//! flavor, and by code that has none. It holds no lock while it waits, and waits for nothing but the
//! link and the signals.

use std::{
    collections::HashMap,
    io,
    os::fd::OwnedFd,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags};
use tokio::sync::oneshot;

use super::{Current, current::Backing, drain::LOOK_INTERVAL};
use crate::{
    link::LinkError,
    shard,
    sys::{
        process,
        signal::{self, Disposition},
        stderr::Diverted,
        wake::poll_until,
    },
    wire::{BindRefused, Bound, FromWorker, ToWorker},
};

/// `draining()` resolves after this at the latest.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a worker exits with when its link has ended. Not 0: if the master lives, it is a failure.
const LINK_LOST: i32 = 71;

/// What the master answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Bound(Result<(Bound, Vec<OwnedFd>), BindRefused>),
    Shared(OwnedFd),
}

/// Requests that wait for their answers.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    next: AtomicU32,
    waiting: Mutex<HashMap<u32, oneshot::Sender<Answer>>>,
}

impl Requests {
    /// A number for a request, and where its answer will come.
    pub(crate) fn open(&self) -> (u32, oneshot::Receiver<Answer>) {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Those whose askers have gone away leave nothing behind.
        waiting.retain(|_, sender| !sender.is_closed());
        waiting.insert(request, sender);
        (request, receiver)
    }

    fn answer(&self, request: u32, answer: Answer) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&request);
        if let Some(waiting) = waiting {
            // Whoever asked may have gone away; then the descriptor is closed with the answer.
            let _ = waiting.send(answer);
        }
    }
}

/// Starts the thread.
pub(super) fn start(current: &'static Current, diverted: Option<Diverted>) -> io::Result<()> {
    thread::Builder::new().name("cluster-link".to_owned()).spawn(move || {
        signal::block_on_this_thread();
        let mut listening = Listening { current, draining_since: None, diverted };
        loop {
            listening.once();
        }
    })?;
    Ok(())
}

struct Listening {
    current: &'static Current,
    /// Since when a drain waits for `draining()` to resolve, and after that for the end.
    draining_since: Option<Instant>,
    /// Stderr goes to the master until this worker sits in its slot.
    diverted: Option<Diverted>,
}

impl Listening {
    fn once(&mut self) {
        let Backing::Master { link, .. } = &self.current.backing else { return };
        let look = self.draining_since.map(|_| Instant::now() + LOOK_INTERVAL);
        let mut fds =
            [PollFd::new(link, PollFlags::IN), PollFd::new(&self.current.wake, PollFlags::IN)];
        if poll_until(&mut fds, look).is_err() {
            thread::sleep(LOOK_INTERVAL);
        }
        self.current.wake.hush();
        let term = signal::take().any(|signal| signal == Signal::SIGTERM);
        if (term || self.current.drain.take_stop_asked()) && !self.current.drain.is_draining() {
            self.current.tell(&FromWorker::StopAsked);
        }
        self.read();
        if let Some(since) = self.draining_since {
            look_after_drain(self.current, since);
        }
    }

    fn read(&mut self) {
        let Backing::Master { link, requests, .. } = &self.current.backing else { return };
        loop {
            match link.receive() {
                Ok(None) => return,
                Ok(Some((frame, fds))) => match frame {
                    ToWorker::Bound { request, outcome } => {
                        let outcome = outcome.map(|bound| (bound, fds));
                        requests.answer(request, Answer::Bound(outcome));
                    }
                    ToWorker::Shared { request } => {
                        if let Some(fd) = fds.into_iter().next() {
                            requests.answer(request, Answer::Shared(fd));
                        }
                    }
                    ToWorker::Drain => {
                        if self.current.drain.begin() {
                            self.draining_since = Some(Instant::now());
                        }
                    }
                    ToWorker::Stopping => {
                        self.current.stopping.send_replace(true);
                    }
                    ToWorker::Promoted => {
                        self.current.seated.send_replace(true);
                        if let Some(diverted) = self.diverted.take() {
                            diverted.restore();
                        }
                    }
                    ToWorker::Split(split) => drop(shard::tell(split)),
                    ToWorker::Go(_) => {}
                },
                // No master, no cluster: nobody would stop or replace this worker.
                Err(LinkError::Closed) => process::exit_now(LINK_LOST),
                // At the descriptor limit an answer can lose its descriptor: whoever waits for it
                // gets a timeout, and the worker lives.
                Err(LinkError::Garbage(_)) => {}
                Err(LinkError::Os(_)) => process::exit_now(LINK_LOST),
            }
        }
    }
}

/// Moves a drain on: `draining()` resolves, user handlers are raised, and a `main` that takes no
/// notice is left when its connections are closed. Returns whether a signal was raised just now.
pub(super) fn look_after_drain(current: &Current, since: Instant) -> bool {
    let settled = current.drain.is_settled(&current.accounts);
    if !settled && since.elapsed() < SETTLE_TIMEOUT {
        return false;
    }
    let raised = current.drain.tell() && raise_user_handler(current);
    if !current.drain.is_observed() && current.accounts.active() == 0 && settled {
        current.drain.finish();
        if current.drain.ends_by_exit() {
            super::end(current, 0, false);
            process::exit_now(0);
        }
    }
    raised
}

/// Shutdown code that waits for TERM, or INT, fires as it would in a plain program: once, so not again if that
/// signal has come to it already, as it does when every process of the cluster gets it.
fn raise_user_handler(current: &Current) -> bool {
    let foreign = |signal| signal::disposition(signal) == Disposition::Foreign;
    let handled = [Signal::SIGTERM, Signal::SIGINT].into_iter().find(|&signal| foreign(signal));
    let Some(signal) = handled else { return false };
    current.drain.observe();
    let raised = !signal::was_heard(signal);
    if raised {
        signal::raise(signal);
    }
    raised
}
