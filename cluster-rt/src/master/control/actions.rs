//! Carrying out what the supervisor decided.
//!
//! Each action is one order to another thread, one frame or one system call. What cannot be done
//! becomes an input, so that the supervisor decides what follows from that too.

use std::{os::fd::OwnedFd, sync::Arc};

use super::{
    Action, Control, FIRST_GENERATION, Input, WorkerId, ZygoteHandle, dispatcher::Order,
    main_thread,
};
use crate::wire::ToWorker;

impl Control {
    pub(super) fn carry_out(&mut self, action: Action) {
        match action {
            Action::ExecZygote => self.exec_zygote(),
            Action::KillZygote => {
                if let Some(Err(error)) = self.zygote.as_mut().map(ZygoteHandle::kill) {
                    self.parts.report.warn(format!("kill of the zygote: {error}"));
                }
            }
            Action::Spawn { worker, slot } => self.spawn(worker, slot),
            Action::Forget { worker } => {
                self.parts.hub.forget(worker);
                drop(self.parts.workers.remove(worker));
            }
            Action::Admit { slot, listener } => {
                self.parts.dispatcher.order(Order::Admit { listener, slot });
            }
            Action::Vacate { slot } => self.parts.dispatcher.order(Order::Vacate { slot }),
            Action::Drain { worker } => self.drain(worker),
            Action::Kill { worker } => {
                let killed = self.parts.workers.by_id.get(&worker).map(|w| w.kill());
                if let Some(Err(error)) = killed {
                    self.parts.report.warn(format!("kill of worker {worker}: {error}"));
                }
            }
            Action::OpenDispatch => self.parts.dispatcher.order(Order::Open),
            Action::CloseListeners => {
                self.listeners.close();
                self.parts.dispatcher.order(Order::Close);
            }
            Action::Warn(text) => self.parts.report.warn(text),
            // Told, and done, by the loop when everything else is.
            Action::Emit(_) | Action::End { .. } => {}
        }
    }

    fn exec_zygote(&mut self) {
        match ZygoteHandle::new() {
            Ok((handle, link)) => {
                self.zygote = Some(handle);
                let order = main_thread::Order::Exec { link, generation: FIRST_GENERATION };
                self.parts.main_thread.order(order);
            }
            Err(error) => {
                let reason = format!("socketpair: {error}");
                self.failures.push(Input::ZygoteExited { reason });
            }
        }
    }

    fn spawn(&mut self, worker: WorkerId, slot: usize) {
        let failed = |errno: Option<i32>| Input::SpawnFailed {
            worker,
            errno: errno.unwrap_or(nix::libc::EAGAIN),
        };
        let ends = match self.parts.workers.add(worker, slot) {
            Ok(ends) => ends,
            Err(error) => return self.failures.push(failed(error.raw_os_error())),
        };
        let row = self.parts.workers.by_id.get(&worker).map_or(0, |w| w.row);
        let asked = self.zygote.as_ref().map(|zygote| zygote.spawn(worker, slot, row, &ends));
        if !matches!(asked, Some(Ok(()))) {
            return self.failures.push(failed(None));
        }
        self.parts.hub.add(worker, slot, ends.hub_mail);
    }

    fn drain(&mut self, worker: WorkerId) {
        let Some(slot) = self.parts.supervisor.slot_of(worker) else { return };
        if self.dispatch_over {
            return self.send(worker, &ToWorker::Drain, None);
        }
        // The order follows when nothing can be dispatched to the worker any more.
        self.leaving.insert(slot, worker);
        self.parts.dispatcher.order(Order::Withdraw { slot });
    }

    pub(super) fn send(&mut self, worker: WorkerId, frame: &ToWorker, fd: Option<Arc<OwnedFd>>) {
        let sent = self.parts.workers.by_id.get_mut(&worker).map(|w| w.send(frame, fd));
        if let Some(Err(what)) = sent {
            self.failures.push(Input::Misbehaved { worker, what });
        }
    }

    pub(super) fn end(&mut self, code: i32) {
        self.ended = true;
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(self.tally);
        }
        self.parts.desk.close();
        self.parts.hub.close();
        self.parts.main_thread.order(main_thread::Order::End { code });
    }
}
