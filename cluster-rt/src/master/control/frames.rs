//! What the frames of workers mean to the master.
//!
//! Nothing in them is believed: a listener that the worker does not have is ignored, a second hello or
//! an answer that it does not take end that worker.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use super::{Control, Input};
use crate::{
    id::{ListenerId, WorkerId},
    link::LinkError,
    master::{dispatcher::Order, listeners::Key},
    wire::{BindRefused, Bound, FromWorker, Go, PROTOCOL_VERSION, ToWorker},
};

/// Frames read from one worker before the others get their turn.
const FRAMES_AT_ONCE: usize = 32;

/// Heartbeats within one `hang_timeout`.
const BEATS: u32 = 8;

/// More than a socket holds: all that a worker can have left behind. A process that it forked may hold
/// the link open and go on writing, so there is a bound.
pub(super) const FRAMES_LEFT_MAX: usize = 1024;

impl Control {
    pub(super) fn read_workers(&mut self) {
        let ids: Vec<WorkerId> = self.parts.workers.by_id.keys().copied().collect();
        for id in ids {
            self.read_worker(id, FRAMES_AT_ONCE);
            let Some(worker) = self.parts.workers.by_id.get_mut(&id) else { continue };
            // An error is the end of the link, which reading sees as well.
            let _ = worker.outbox.flush(&worker.link);
        }
    }

    /// Reads at most `most` frames; when the worker has ended, all that are left.
    pub(super) fn read_worker(&mut self, id: WorkerId, most: usize) {
        for _ in 0..most {
            let Some(worker) = self.parts.workers.by_id.get_mut(&id).filter(|w| w.is_heard())
            else {
                return;
            };
            match worker.link.receive() {
                Ok(Some((frame, _unasked))) => self.take_frame(id, frame),
                Ok(None) => return,
                Err(LinkError::Closed) => {
                    worker.deaf = true;
                    self.feed(Input::LinkClosed { worker: id });
                }
                Err(error) => self.misbehaved(id, error.to_string()),
            }
        }
    }

    fn take_frame(&mut self, worker: WorkerId, frame: FromWorker) {
        match frame {
            FromWorker::Hello { protocol } => self.greet(worker, protocol),
            FromWorker::Online => self.feed(Input::Online { worker }),
            FromWorker::Bind { request, addr, nth, backlog } => {
                self.bind(worker, request, Key { addr, nth }, backlog);
            }
            FromWorker::Accepting { listener } if self.has(worker, listener) => {
                self.feed(Input::Accepting { worker, listener });
            }
            FromWorker::Share { request, listener } if self.has(worker, listener) => {
                self.share(worker, request, listener);
            }
            FromWorker::Unlisten { listener } if self.has(worker, listener) => {
                self.unlisten(worker, listener);
            }
            // After the close a worker may still speak of a listener that is gone.
            FromWorker::Accepting { .. }
            | FromWorker::Share { .. }
            | FromWorker::Unlisten { .. } => {}
            FromWorker::Ready => self.feed(Input::SaidReady { worker }),
            FromWorker::StopAsked => self.feed(Input::StopAsked { worker }),
            FromWorker::Ended { code, panicked } => {
                self.feed(Input::MainEnded { worker, code, panicked });
            }
        }
    }

    fn has(&self, worker: WorkerId, listener: ListenerId) -> bool {
        self.parts.workers.by_id.get(&worker).is_some_and(|w| w.listeners.contains(&listener))
            && self.listeners.get(listener).is_some()
    }

    fn greet(&mut self, worker: WorkerId, protocol: u32) {
        if protocol != PROTOCOL_VERSION {
            let what = format!("it speaks protocol {protocol}, the master {PROTOCOL_VERSION}");
            return self.misbehaved(worker, what);
        }
        let Some(handle) = self.parts.workers.by_id.get_mut(&worker) else { return };
        if std::mem::replace(&mut handle.greeted, true) {
            return self.misbehaved(worker, "a second hello on its link".to_owned());
        }
        let (slot, generation) = (handle.slot, handle.generation);
        self.feed(Input::Greeted { worker });
        let config = &self.parts.config;
        let go = Go {
            slot,
            generation,
            flavor: config.flavor,
            worker_threads: config.worker_threads.unwrap_or(1),
            heartbeat: config.hang_timeout.map(|timeout| timeout / BEATS),
            pin: config.pin,
        };
        self.send(worker, &ToWorker::Go(go), None);
    }

    fn bind(&mut self, worker: WorkerId, request: u32, key: Key, backlog: u32) {
        let Some(handle) = self.parts.workers.by_id.get(&worker) else { return };
        let berth = handle.berth;
        match self.listeners.open(key, backlog, berth, &handle.listeners) {
            Err(refused) => self.answer_bind(worker, request, Err(refused), None),
            Ok(opened) => {
                let (listener, addr) = (opened.listener, opened.addr);
                if let Some(socket) = opened.socket {
                    self.parts.report.info(format!("listening on {addr}"));
                    self.parts.dispatcher.order(Order::Listen { listener, socket });
                }
                if let Some(queue) = opened.queue {
                    self.parts.dispatcher.order(Order::Queue { listener, berth, queue });
                }
                if let Some(handle) = self.parts.workers.by_id.get_mut(&worker) {
                    handle.listeners.insert(listener);
                }
                self.feed(Input::Bound { worker, addr });
                let bound = Bound { listener, addr };
                self.answer_bind(worker, request, Ok(bound), Some(opened.receiving));
            }
        }
    }

    fn answer_bind(
        &mut self,
        worker: WorkerId,
        request: u32,
        outcome: Result<Bound, BindRefused>,
        fd: Option<std::sync::Arc<OwnedFd>>,
    ) {
        self.send(worker, &ToWorker::Bound { request, outcome }, fd);
    }

    /// The worker is to accept from the socket itself: it counts as ready, and the dispatcher leaves
    /// its slot out.
    fn share(&mut self, worker: WorkerId, request: u32, listener: ListenerId) {
        let Some(socket) = self.listeners.get(listener).and_then(|l| l.socket.clone()) else {
            return;
        };
        let Some(berth) = self.berth_of(worker) else { return };
        // First, so that nothing is put into a queue that nobody is going to read.
        self.parts.dispatcher.order(Order::Share { listener, berth });
        self.feed(Input::Accepting { worker, listener });
        self.send(worker, &ToWorker::Shared { request }, Some(socket));
    }

    /// Dispatches nothing more to the worker from this listener. The socket itself stays for now: what
    /// looks like a drop may be the end of `main`, and then the next worker needs it.
    fn unlisten(&mut self, worker: WorkerId, listener: ListenerId) {
        let Some(handle) = self.parts.workers.by_id.get_mut(&worker) else { return };
        let berth = handle.berth;
        handle.listeners.remove(&listener);
        self.feed(Input::Unlistened { worker, listener });
        self.parts.dispatcher.order(Order::Unlisten { listener, berth });
        // One entry for each, however often it binds and drops.
        self.dropped.retain(|d| (d.worker, d.listener) != (worker, listener));
        self.dropped.push_back(Dropped { at: Instant::now(), worker, listener });
    }

    /// Closes the sockets that nobody has, once those who dropped them have shown that they live on
    /// without. A worker that drains or has ended has dropped nothing.
    pub(super) fn close_dropped(&mut self) {
        while let Some(&Dropped { at, worker, listener }) = self.dropped.front() {
            if at.elapsed() < DROP_SETTLE {
                return;
            }
            self.dropped.pop_front();
            let Some(handle) = self.parts.workers.by_id.get(&worker) else { continue };
            if self.parts.supervisor.is_draining(worker) || handle.listeners.contains(&listener) {
                continue;
            }
            if self.listeners.drop_by(listener, handle.berth) {
                self.parts.dispatcher.order(Order::Discard { listener });
            }
        }
    }

    /// When `close_dropped` has something to do.
    pub(super) fn dropped_deadline(&self) -> Option<Instant> {
        self.dropped.front().map(|dropped| dropped.at + DROP_SETTLE)
    }
}

/// A listener that a worker dropped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropped {
    at: Instant,
    worker: WorkerId,
    listener: ListenerId,
}

/// A worker whose `main` has returned has ended by then.
const DROP_SETTLE: Duration = Duration::from_secs(1);
