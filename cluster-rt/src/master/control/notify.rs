//! What a service manager is told of the cluster, and when. How it is told is `crate::notify`'s.
//!
//! A sign of life goes round by the dispatcher, so that it speaks of both threads without which nobody is served.

use std::time::Instant;

use super::Control;
use crate::{
    event::{Event, WorkerState},
    master::{dispatcher::Order, supervisor::Known},
    notify::Notify,
};

/// The manager, and what it is to know.
#[derive(Debug)]
pub(super) struct Manager {
    notify: Notify,
    /// Why the last reload failed; until the next begins.
    failed: Option<String>,
}

impl Manager {
    pub(super) fn new(notify: Notify) -> Self {
        Self { notify, failed: None }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.notify.next_deadline()
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::ReloadStarted { .. } => {
                self.failed = None;
                self.notify.reloading();
            }
            Event::ReloadFinished { .. } => self.notify.reloaded(),
            Event::ReloadFailed { .. } => {
                self.failed = Some(event.to_string());
                self.notify.reloaded();
            }
            Event::GaveUp { .. } => self.failed = Some(event.to_string()),
            _ => {}
        }
    }
}

impl Control {
    /// Connections are taken from now on.
    pub(super) fn notify_ready(&mut self) {
        if let Some(manager) = &mut self.manager {
            manager.notify.ready();
        }
    }

    pub(super) fn notify_of(&mut self, events: &[Event]) {
        let Some(manager) = &mut self.manager else { return };
        events.iter().for_each(|event| manager.note(event));
        let supervisor = &self.parts.supervisor;
        let serves = |of: &Known| of.state == WorkerState::Ready && supervisor.sits(of.worker);
        let ready = supervisor.workers().filter(serves).count();
        let mut status = match supervisor.is_stopping() {
            true => format!("stopping: {} workers left", supervisor.workers().count()),
            false => {
                let (target, generation) = (supervisor.target(), supervisor.generation());
                format!("{ready} of {target} workers ready, generation {generation}")
            }
        };
        if let Some(failed) = &manager.failed {
            status = format!("{status}; {failed}");
        }
        manager.notify.status(&status);
    }

    /// The dispatcher has answered.
    pub(super) fn notify_alive(&mut self) {
        if let Some(manager) = &mut self.manager {
            manager.notify.alive();
        }
    }

    /// Tells what is to be told, and asks for the next sign of life.
    pub(super) fn look_after_manager(&mut self) {
        let Some(manager) = &mut self.manager else { return };
        let now = Instant::now();
        if self.parts.supervisor.is_stopping() {
            manager.notify.stopping();
        }
        if manager.notify.is_due(now) {
            match self.dispatch_over {
                true => manager.notify.alive(),
                false => self.parts.dispatcher.order(Order::Echo),
            }
        }
        if let Err(error) = manager.notify.flush(now) {
            self.parts
                .report
                .warn(format!("NOTIFY_SOCKET: {error}; the service manager is not told"));
        }
    }
}
