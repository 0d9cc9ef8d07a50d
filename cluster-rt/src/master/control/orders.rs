//! Orders of the owner, from handles and signals, until they are answered.
//!
//! An order is an input of the supervisor's with a number; its answer is an action with that number.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use tokio::sync::oneshot;

use super::{Capture, Command, Control, Input, Stopped};
use crate::{
    error::{Cause, Error},
    master::{
        order::{Answer, Reloaded, Replaced, Scaled},
        supervisor::{Done, OrderId, Outcome, STOPPING},
    },
    sys::process,
};

/// Who waits for an order.
#[derive(Debug)]
enum Waiting {
    Scale(Answer<Scaled>),
    Respawn(Answer<Replaced>),
    Reload(Answer<Reloaded>),
    /// A signal, whose sender can only read.
    Signal(&'static str),
    /// HUP: what comes of it is an event, which is told; a refusal is not.
    Hup,
}

/// Bounded by what handles in this process order, and by the signals' being answered first.
#[derive(Debug, Default)]
pub(super) struct Orders {
    last: u64,
    waiting: BTreeMap<OrderId, Waiting>,
    /// Who waits for the end.
    stops: Vec<oneshot::Sender<Stopped>>,
}

impl Orders {
    fn open(&mut self, waiting: Waiting) -> OrderId {
        self.last += 1;
        let order = OrderId(self.last);
        self.waiting.insert(order, waiting);
        order
    }

    /// The cluster has ended.
    pub(super) fn end(&mut self, tally: Stopped) {
        for stop in self.stops.drain(..) {
            let _ = stop.send(tally);
        }
        self.waiting.clear();
    }
}

impl Control {
    pub(super) fn take_command(&mut self, command: Command) {
        match command {
            Command::Scale { service, target, answer } => {
                let order = self.orders.open(Waiting::Scale(answer));
                self.feed(Input::Scale { order, service, target });
            }
            Command::Respawn { slot, answer } => {
                let order = self.orders.open(Waiting::Respawn(answer));
                self.feed(Input::Respawn { order, slot });
            }
            Command::Reload { answer } => {
                let order = self.orders.open(Waiting::Reload(answer));
                self.feed(Input::Reload { order });
            }
            Command::Stats { answer } => {
                // Who asked may have gone away.
                let _ = answer.send(self.stats());
            }
            Command::Stop { done } => {
                self.orders.stops.push(done);
                self.feed(Input::Stop { code: 0 });
            }
            Command::Kill { done } => {
                self.orders.stops.push(done);
                // As a shell reports a process that KILL ended.
                self.feed(Input::Kill { code: 128 + Signal::SIGKILL as i32 });
            }
        }
    }

    pub(super) fn take_signal(&mut self, signal: Signal) {
        let report = &self.parts.report;
        match signal {
            Signal::SIGTERM => {
                report.info("TERM: stopping".to_owned());
                self.feed(Input::Stop { code: 0 });
            }
            Signal::SIGINT => {
                report.info("INT: stopping (again after a second: kill)".to_owned());
                self.feed(Input::Interrupt);
            }
            Signal::SIGQUIT => {
                report.info("QUIT: killing all workers".to_owned());
                self.feed(Input::Kill { code: 128 + Signal::SIGQUIT as i32 });
            }
            Signal::SIGHUP if self.parts.had_terminal && process::terminal_is_gone() => {
                report.info("HUP, and the terminal is gone: stopping".to_owned());
                self.feed(Input::Stop { code: 0 });
            }
            Signal::SIGHUP => self.reload_by_signal(),
            Signal::SIGTTIN => self.scale_by_signal("TTIN", self.parts.supervisor.target() + 1),
            Signal::SIGTTOU => {
                self.scale_by_signal("TTOU", self.parts.supervisor.target().saturating_sub(1));
            }
            Signal::SIGUSR1 => self.report_stats(),
            other => {
                report.warn(format!("{other}: this version has no order for it; nothing is done"));
            }
        }
    }

    fn reload_by_signal(&mut self) {
        let path = self.parts.image.path().display();
        self.parts.report.info(format!("HUP: reloading {path}"));
        let order = self.orders.open(Waiting::Hup);
        self.feed(Input::Reload { order });
    }

    fn scale_by_signal(&mut self, signal: &'static str, target: usize) {
        self.parts.report.info(format!("{signal}: scaling to {target} workers"));
        let order = self.orders.open(Waiting::Signal(signal));
        self.feed(Input::Scale { order, service: None, target });
    }

    /// Tells who ordered what came of it.
    pub(super) fn answer(&mut self, order: OrderId, outcome: Outcome) {
        let done = match (self.orders.waiting.remove(&order), outcome) {
            (Some(Waiting::Scale(answer)), Ok(Done::Scaled { from, to })) => {
                answer.send(Ok(Scaled { from, to })).is_ok()
            }
            (Some(Waiting::Respawn(answer)), Ok(Done::Replaced { slot, before, worker })) => {
                answer.send(Ok(Replaced { slot, before, worker })).is_ok()
            }
            (Some(Waiting::Reload(answer)), Ok(Done::Reloaded { generation })) => {
                answer.send(Ok(Reloaded { generation })).is_ok()
            }
            (Some(Waiting::Scale(answer)), Err(why)) => {
                answer.send(Err(failed("scale", why))).is_ok()
            }
            (Some(Waiting::Respawn(answer)), Err(why)) => {
                answer.send(Err(failed("respawn", why))).is_ok()
            }
            (Some(Waiting::Reload(answer)), Err(why)) => {
                let why = self.with_last_words(why);
                answer.send(Err(failed("reload", why))).is_ok()
            }
            (Some(Waiting::Signal(signal)), Err(why)) => {
                self.parts.report.warn(format!("{signal}: {why}"));
                true
            }
            (Some(Waiting::Hup), Err(why)) if why == STOPPING => {
                self.parts.report.warn(format!("HUP: reload: {why}"));
                true
            }
            // The owner has gone away, or there is nothing to tell.
            _ => true,
        };
        // Who does not wait any more misses nothing but this.
        let _ = done;
        self.retire_berths();
    }

    /// What a newcomer wrote to stderr says more than how it ended.
    fn with_last_words(&self, why: String) -> String {
        let capture = self.capture.as_ref().map(|(_, capture)| capture);
        let lines = capture.map(Capture::tail).unwrap_or_default();
        if lines.is_empty() || why == STOPPING {
            return why;
        }
        format!("{why}; the last lines of its stderr:\n  {}", lines.join("\n  "))
    }
}

fn failed(operation: &'static str, why: String) -> Error {
    let cause = if why == STOPPING { Cause::Stopping(STOPPING) } else { Cause::Failed(why) };
    Error::new(operation, "the cluster", cause)
}
