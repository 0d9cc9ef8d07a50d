//! What the frames of workers mean to the master.
//!
//! Nothing in them is believed: a listener that the worker does not have is ignored, a second hello or
//! an answer that it does not take end that worker.

use super::{Control, Input};
use crate::{
    id::{ListenerId, WorkerId},
    link::LinkError,
    message::service_hash,
    wire::{FromWorker, Go, PROTOCOL_VERSION, ToWorker},
};

/// Frames read from one worker before the others get their turn.
const FRAMES_AT_ONCE: usize = 32;

/// Heartbeats within one `hang_timeout`.
const BEATS: u32 = 8;

/// More than a socket holds: all that a worker can have left behind. A process that it forked may hold
/// the link open and go on writing, so there is a bound.
pub(super) const FRAMES_LEFT_MAX: usize = 1024;

impl Control {
    pub(super) fn read_workers(&mut self, spoke: &[WorkerId]) {
        for &id in spoke {
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
            FromWorker::Bind { request, wanted, options } => {
                self.bind(worker, request, &wanted, &options);
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
            FromWorker::ReplaceAsked => self.feed(Input::ReplaceAsked { worker }),
            FromWorker::Ended { code, panicked } => {
                self.feed(Input::MainEnded { worker, code, panicked });
            }
        }
    }

    fn has(&self, worker: WorkerId, listener: ListenerId) -> bool {
        self.parts.workers.by_id.get(&worker).is_some_and(|w| w.listeners.contains_key(&listener))
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
        let (slot, service, generation) = (handle.slot, handle.service, handle.generation);
        self.feed(Input::Greeted { worker });
        let service = &self.parts.services[service];
        let config = &service.rules;
        let services = self.parts.services.iter().map(|service| service_hash(service.name));
        let go = Go {
            slot,
            generation,
            service: service.name.map(str::to_owned),
            services: services.collect(),
            flavor: config.flavor,
            worker_threads: config.worker_threads.unwrap_or(1),
            sits: self.parts.supervisor.sits(worker),
            heartbeat: config.hang_timeout.map(|timeout| timeout / BEATS),
            pin: config.pin,
            splits: self.parts.supervisor.splits(),
        };
        if let Some(handle) = self.parts.workers.by_id.get_mut(&worker) {
            handle.let_go = true;
        }
        self.send(worker, &ToWorker::Go(go), Vec::new());
        if self.parts.supervisor.is_stopping() {
            self.send(worker, &ToWorker::Stopping, Vec::new());
        }
    }
}
