//! Carrying out what the supervisor decided.
//!
//! Each action is one order to another thread, one frame or one system call. What cannot be done
//! becomes an input, so that the supervisor decides what follows from that too.

use std::{os::fd::OwnedFd, sync::Arc};

use super::{
    Action, Capture, Control, Image, Input, WorkerId, ZygoteHandle, dispatcher::Order, main_thread,
};
use crate::{
    master::{supervisor::FIRST_GENERATION, workers::Assignment},
    message::service_hash,
    shard,
    wire::ToWorker,
};

impl Control {
    pub(super) fn carry_out(&mut self, action: Action) {
        match action {
            Action::ExecZygote { generation } => {
                if let Err(reason) = self.exec_zygote(generation) {
                    self.failures.push(Input::ZygoteNotStarted { generation, reason });
                }
            }
            Action::KillZygote { generation } => {
                let killed = self.zygotes.get_mut(&generation).map(ZygoteHandle::kill);
                if let Some(Err(error)) = killed {
                    self.parts.report.warn(format!("kill of zygote {generation}: {error}"));
                }
            }
            Action::DropImage { generation } => drop(self.images.remove(&generation)),
            Action::Spawn { worker, slot, generation } => self.spawn(worker, slot, generation),
            Action::Forget { worker } => {
                self.parts.hub.forget(worker);
                if let Some(gone) = self.parts.workers.remove(worker) {
                    self.berths.leave(worker, gone.berth);
                }
            }
            Action::Promote { worker } => self.promote(worker),
            Action::Admit { worker, listener } => self.admit(worker, listener),
            Action::Vacate { worker } => {
                if let Some(berth) = self.berth_of(worker) {
                    self.parts.dispatcher.order(Order::Vacate { berth });
                }
            }
            Action::Drain { worker } => self.drain(worker),
            Action::Kill { worker } => {
                let killed = self.parts.workers.by_id.get(&worker).map(|w| w.kill());
                if let Some(Err(error)) = killed {
                    self.parts.report.warn(format!("kill of worker {worker}: {error}"));
                }
            }
            Action::Abort { worker } => {
                let aborted = self.parts.workers.by_id.get(&worker).map(|w| w.abort());
                if let Some(Err(error)) = aborted {
                    self.parts.report.warn(format!("SIGABRT to worker {worker}: {error}"));
                }
            }
            Action::Look => self.look(),
            Action::OpenDispatch => {
                self.parts.dispatcher.order(Order::Open);
                self.notify_ready();
            }
            Action::CloseListeners => {
                self.listeners.close();
                self.parts.dispatcher.order(Order::Close);
            }
            Action::Forsake(forsaken) => self.parts.dispatcher.order(Order::Forsake(forsaken)),
            Action::Warn(text) => self.parts.report.warn(text),
            // Told, and done, by the loop when everything else is.
            Action::Emit(_) | Action::Answer { .. } | Action::End { .. } => {}
        }
    }

    /// Starts a zygote of the generation; a generation that has no program yet gets the one that is at
    /// the path now.
    fn exec_zygote(&mut self, generation: u32) -> Result<(), String> {
        let image = match self.images.get(&generation) {
            Some(image) => Arc::clone(image),
            None => {
                let image: Arc<Image> = Arc::new(self.new_image(generation)?);
                self.images.insert(generation, Arc::clone(&image));
                image
            }
        };
        let captured = self.capture.as_ref().filter(|(of, _)| *of == generation);
        let stderr = captured.map(|(_, capture)| capture.writer());
        let (handle, link) =
            ZygoteHandle::new(stderr.clone()).map_err(|error| format!("socketpair: {error}"))?;
        self.zygotes.insert(generation, handle);
        let order = main_thread::Order::Exec { generation, image, link, stderr };
        self.parts.main_thread.order(order);
        Ok(())
    }

    fn new_image(&mut self, generation: u32) -> Result<Image, String> {
        if generation == FIRST_GENERATION {
            return self.parts.image.same();
        }
        let image = self.parts.image.renewed()?;
        self.begin_capture(generation);
        Ok(image)
    }

    /// From now on the stderr of this generation's newcomers is kept.
    fn begin_capture(&mut self, generation: u32) {
        match Capture::start() {
            Ok(capture) => self.capture = Some((generation, capture)),
            Err(error) => {
                let text =
                    format!("reload: stderr of the newcomers: {error}; it is not told again");
                self.parts.report.warn(text);
            }
        }
    }

    /// Those that begin later are told with their `Go`.
    pub(super) fn tell_workers_of_the_stop(&mut self) {
        let greeted = self.parts.workers.by_id.iter().filter(|(_, worker)| worker.let_go);
        for worker in greeted.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.send(worker, &ToWorker::Stopping, Vec::new());
        }
    }

    /// The reload is over.
    pub(super) fn end_capture(&mut self, generation: u32) {
        if self.capture.as_ref().is_some_and(|(of, _)| *of == generation) {
            self.capture = None;
        }
        if let Some(zygote) = self.zygotes.get_mut(&generation) {
            zygote.settle();
        }
    }

    fn spawn(&mut self, worker: WorkerId, slot: usize, generation: u32) {
        let failed = |errno: Option<i32>| Input::SpawnFailed {
            worker,
            errno: errno.unwrap_or(nix::libc::EAGAIN),
        };
        let berth = self.berths.assign(worker, slot, self.parts.supervisor.sits(worker));
        // A worker is asked for in a slot that is there.
        let service = self.parts.supervisor.service_of_slot(slot).unwrap_or(0);
        let assignment = Assignment { slot, service, berth, generation };
        let ends = match self.parts.workers.add(worker, assignment) {
            Ok(ends) => ends,
            Err(error) => {
                self.berths.leave(worker, berth);
                return self.failures.push(failed(error.raw_os_error()));
            }
        };
        let number = self.parts.workers.by_id.get(&worker).map_or(0, |w| w.row);
        let zygote = self.zygotes.get(&generation);
        let asked = zygote.map(|zygote| zygote.spawn(worker, slot, number, &ends));
        if !matches!(asked, Some(Ok(()))) {
            return self.failures.push(failed(None));
        }
        let service = service_hash(self.parts.services[service].name);
        self.parts.hub.add(worker, (slot, service), ends.hub_mail, ends.row);
    }

    pub(super) fn berth_of(&self, worker: WorkerId) -> Option<usize> {
        self.parts.workers.by_id.get(&worker).map(|w| w.berth)
    }

    /// The worker takes its slot's place: connections for the slot wait in its berth from now on.
    fn promote(&mut self, worker: WorkerId) {
        let Some(handle) = self.parts.workers.by_id.get(&worker) else { return };
        self.berths.promote(handle.slot, handle.berth);
        self.parts.hub.set_ready(worker);
        self.send(worker, &ToWorker::Promoted, Vec::new());
        self.retire_berths();
    }

    /// Lets go of the berths that nobody is going to use again.
    pub(super) fn retire_berths(&mut self) {
        let supervisor = &self.parts.supervisor;
        for berth in self.berths.retire(|slot| supervisor.has_slot(slot)) {
            self.parts.dispatcher.order(Order::Retire { berth });
        }
    }

    fn drain(&mut self, worker: WorkerId) {
        let Some(berth) = self.berth_of(worker) else { return };
        if self.dispatch_over {
            return self.send(worker, &ToWorker::Drain, Vec::new());
        }
        // The order follows when nothing can be dispatched to the worker any more.
        self.leaving.insert(berth, worker);
        self.parts.dispatcher.order(Order::Withdraw { berth });
    }

    /// Tells everybody when keys have come to belong to others, who can be reached by now.
    pub(super) fn note_split(&mut self) {
        for (service, split) in self.parts.supervisor.splits().into_iter().enumerate() {
            if !shard::tell(split.clone()) {
                continue;
            }
            let slots = split.slots.clone();
            self.parts.dispatcher.order(Order::Shares { service, slots });
            let workers = self.parts.workers.by_id.iter();
            // The others are told with their `Go`.
            let told: Vec<_> = workers.filter(|(_, w)| w.let_go).map(|(&id, _)| id).collect();
            let frame = ToWorker::Split(split);
            for worker in told {
                self.send(worker, &frame, Vec::new());
            }
        }
    }

    pub(super) fn send(&mut self, worker: WorkerId, frame: &ToWorker, fds: Vec<Arc<OwnedFd>>) {
        let sent = self.parts.workers.by_id.get_mut(&worker).map(|w| w.send(frame, fds));
        if let Some(Err(what)) = sent {
            self.failures.push(Input::Misbehaved { worker, what });
        }
    }

    pub(super) fn end(&mut self, code: i32) {
        self.ended = true;
        self.orders.end(self.tally);
        self.parts.desk.close();
        self.parts.hub.close();
        self.parts.main_thread.order(main_thread::Order::End { code });
    }
}
