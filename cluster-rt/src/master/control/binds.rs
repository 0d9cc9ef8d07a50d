//! What workers bind and drop: the sockets they get, and what the dispatcher has to know of it.
//!
//! A socket that somebody drops stays for a moment: what looks like a drop may be the end of `main`, and
//! then the next worker needs it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Control, Input};
use crate::{
    config::Credentials,
    endpoint::{Endpoint, Schedule},
    id::{ListenerId, WorkerId},
    master::{
        dispatcher::{Occupant, Order, Rules, Terms},
        listeners::{Asker, Opened},
        workers::Asked,
    },
    wire::{BindOptions, Bound, ToWorker, Wanted},
};

/// A worker whose `main` has returned has ended by then.
const DROP_SETTLE: Duration = Duration::from_secs(1);

/// A listener that a worker dropped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropped {
    at: Instant,
    worker: WorkerId,
    listener: ListenerId,
}

impl Control {
    pub(super) fn bind(
        &mut self,
        worker: WorkerId,
        request: u32,
        wanted: &Wanted,
        options: &BindOptions,
    ) {
        let options = &self.owned(options);
        let Some(handle) = self.parts.workers.by_id.get_mut(&worker) else { return };
        let asker = Asker {
            slot: handle.slot,
            service: handle.service,
            berth: handle.berth,
            own: &handle.listeners,
            schedule: self.parts.services[handle.service].rules.schedule,
            generation: handle.generation,
        };
        let opened = match self.listeners.open(wanted, options, asker) {
            Ok(opened) => opened,
            Err(refused) => {
                let answer = ToWorker::Bound { request, outcome: Err(refused) };
                return self.send(worker, &answer, Vec::new());
            }
        };
        let rules = Arc::new(Rules {
            schedule: opened.schedule,
            close_excess: options.close_excess,
            peek: options.peek.clone(),
        });
        let asked = Asked { limits: options.limits, rules: Arc::clone(&rules) };
        handle.listeners.insert(opened.listener, asked);
        let (slot, berth) = (handle.slot, handle.berth);
        let service = handle.service;
        self.tell_dispatcher(&opened, (service, slot, berth), &rules);
        let Opened { listener, endpoint, schedule, given, .. } = opened;
        if let Some(asked) = opened.not_now {
            self.parts.report.warn(format!(
                "{endpoint}: the schedule stays {schedule} until the next start: {asked} needs other sockets"
            ));
        }
        let is_udp = matches!(endpoint, Endpoint::Udp(_));
        self.feed(Input::Bound { worker, listener, addr: endpoint.clone() });
        let outcome = Ok(Bound { listener, endpoint });
        self.send(worker, &ToWorker::Bound { request, outcome }, given);
        if is_udp {
            // There is no accept that could be waited for.
            self.feed(Input::Accepting { worker, listener });
        }
    }

    /// A file that nobody is named for belongs to whom the workers run as.
    fn owned(&self, options: &BindOptions) -> BindOptions {
        let mut options = options.clone();
        if let Some(Credentials { uid, gid, .. }) = self.parts.config.credentials {
            options.owner.uid.get_or_insert(uid);
            options.owner.gid.get_or_insert(gid);
        }
        options
    }

    fn tell_dispatcher(
        &mut self,
        opened: &Opened,
        (service, slot, berth): (usize, usize, usize),
        rules: &Rules,
    ) {
        let (listener, schedule) = (opened.listener, opened.schedule);
        match &opened.restored {
            Some(Ok(())) => {
                let text = format!("{}: its file was gone and is there again", opened.endpoint);
                self.parts.report.warn(text);
            }
            Some(Err(refused)) => {
                let error = std::io::Error::from_raw_os_error(refused.errno);
                let (at, operation) = (&opened.endpoint, &refused.operation);
                let text = format!(
                    "{at}: its file is gone, so that nobody can connect: {operation}: {error}"
                );
                self.parts.report.warn(text);
            }
            None => {}
        }
        if opened.is_new {
            let how = match schedule {
                Schedule::RoundRobin => String::new(),
                other => format!("schedule {other}, "),
            };
            self.parts.report.info(format!("{how}listening on {}", opened.endpoint));
        }
        if matches!(opened.endpoint, Endpoint::Udp(_)) {
            // Datagrams are nothing to dispatch.
            return;
        }
        if opened.is_new {
            let terms = Terms {
                endpoint: opened.endpoint.clone(),
                rules: rules.clone(),
                service,
                shares: self.shares_of(service),
            };
            self.parts.dispatcher.order(Order::Listen { listener, terms });
        }
        if let Some(socket) = opened.socket.clone() {
            self.parts.dispatcher.order(Order::Socket { listener, slot, socket });
        }
        if let Some(queue) = opened.queue.clone() {
            self.parts.dispatcher.order(Order::Queue { listener, berth, slot, queue });
        }
    }

    /// The slots over which the keys of a service are split.
    fn shares_of(&self, service: usize) -> Vec<usize> {
        self.parts.supervisor.splits().swap_remove(service).slots
    }

    /// Warns once of sockets that a service manager has opened and that nobody serves.
    pub(super) fn tell_untaken(&mut self) {
        if !self.untaken_told && self.parts.supervisor.has_started() {
            self.untaken_told = true;
            self.listeners.untaken().into_iter().for_each(|text| self.parts.report.warn(text));
        }
    }

    /// The worker takes connections from the listener from now on.
    pub(super) fn admit(&mut self, worker: WorkerId, listener: ListenerId) {
        let Some(handle) = self.parts.workers.by_id.get(&worker) else { return };
        let (row, asked) = (self.parts.workers.row(worker), handle.listeners.get(&listener));
        if let (Some(row), Some(asked)) = (row, asked) {
            let Asked { limits, rules } = asked.clone();
            let (berth, generation) = (handle.berth, handle.generation);
            let occupant = Occupant { row, limits, generation, rules };
            self.parts.dispatcher.order(Order::Admit { listener, berth, occupant });
        }
    }

    /// The worker is to accept from the socket itself: it counts as ready, and the dispatcher leaves
    /// its slot out.
    pub(super) fn share(&mut self, worker: WorkerId, request: u32, listener: ListenerId) {
        let Some(handle) = self.parts.workers.by_id.get(&worker) else { return };
        let (slot, berth) = (handle.slot, handle.berth);
        let Some(socket) = self.listeners.get(listener).and_then(|l| l.socket_of(slot)) else {
            return;
        };
        // First, so that nothing is put into a queue that nobody is going to read.
        self.parts.dispatcher.order(Order::Share { listener, berth });
        self.feed(Input::Accepting { worker, listener });
        self.send(worker, &ToWorker::Shared { request }, vec![socket]);
    }

    /// Dispatches nothing more to the worker from this listener.
    pub(super) fn unlisten(&mut self, worker: WorkerId, listener: ListenerId) {
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
            let has_it_again = handle.listeners.contains_key(&listener);
            if self.parts.supervisor.is_draining(worker) || has_it_again {
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

    /// Tells the dispatcher when slots have come or gone, and lets go of the berths of those that went,
    /// before another service can have their numbers.
    pub(super) fn note_slots(&mut self) {
        let extent = self.parts.supervisor.extent();
        if self.slots != extent {
            self.slots = extent;
            self.parts.dispatcher.order(Order::Slots { count: extent.0 });
            self.retire_berths();
        }
    }
}
