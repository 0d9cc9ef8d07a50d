//! Who gets a frame: the hub's decisions, apart from its sockets.
//!
//! Does no I/O and takes time as an argument. Routes on bytes; the payload of a message is not looked at.
//! Whatever a worker sends, the state stays bounded: what waits for a worker as `line` says, the open
//! requests as `requests` does.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{
    directory::Directory,
    foreign::Foreign,
    line::Line,
    requests::{Asking, Orphans, Requests},
};
use crate::{
    id::WorkerId,
    mail::{
        self, Enclosure, Failure, Frame, Head, Kind, Place, patience::Verdict, pieces::Parcel,
        run::Run,
    },
    sys::{passing::Passing, scoreboard::Row},
};

/// A run that some of its receivers have no room for yet.
#[derive(Debug)]
pub(super) struct Parked {
    run: Arc<Vec<u8>>,
    fd: Option<Passing>,
    pending: Vec<Place>,
    /// When to try again at the latest.
    pub(super) until: Instant,
}

/// Takes in what is for the master itself; an error says when to try again.
pub(super) type Local =
    Box<dyn FnMut(&Run<'_>, &mut Option<Passing>, Instant) -> Result<(), Instant> + Send>;

pub(super) struct Exchange {
    directory: Arc<Directory>,
    pub(super) lines: BTreeMap<WorkerId, Line>,
    requests: Requests,
    /// The highest identity that there was.
    newest: WorkerId,
    pub(super) foreign: Foreign,
    local: Local,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl Exchange {
    pub(super) fn new(directory: Arc<Directory>, local: Local) -> Self {
        Self {
            directory,
            lines: BTreeMap::new(),
            requests: Requests::default(),
            newest: WorkerId(0),
            foreign: Foreign::default(),
            local,
        }
    }

    /// Moves frames to whom they are for, with their descriptor; what has to wait comes back.
    ///
    /// # Errors
    /// What the sender may not send.
    pub(super) fn route(
        &mut self,
        from: Place,
        run: &Run<'_>,
        fd: &mut Option<Passing>,
        now: Instant,
    ) -> Result<Option<Parked>, String> {
        let Head { kind, to, request, .. } = run.first.head;
        if run.first.head.from != from {
            return Err("a frame in another's name".to_owned());
        }
        let receivers = match kind {
            Kind::Message => self.receivers(from, to),
            Kind::Request if to.is_many() => {
                return Err("a request to many".to_owned());
            }
            Kind::Request => match self.begin_request(from, to, request) {
                Ok(receiver) => vec![receiver],
                Err(failure) => {
                    self.bounce(from, request, failure, now);
                    return Ok(None);
                }
            },
            Kind::Reply | Kind::Failed => {
                // Late, or made up: nobody waits for it.
                if !self.requests.end((to, request), from) {
                    return Ok(None);
                }
                vec![to]
            }
            Kind::Unheard => {
                if self.requests.is_awaited((to, request), from) {
                    self.hint(to, run, now);
                }
                return Ok(None);
            }
            Kind::Abandoned => {
                if let Some(by) = self.requests.abandon((from, request)) {
                    self.tell_abandoned((from, request), by, now);
                }
                return Ok(None);
            }
            Kind::Foreign => {
                self.foreign.note(from, &run.first);
                return Ok(None);
            }
            Kind::Lagged | Kind::Ended => {
                return Err("a frame that only the master sends".to_owned());
            }
        };
        if run.first.enclosure == Enclosure::Descriptor && fd.is_none() {
            // This process had no room for it, or it never was.
            let mut bytes = run.bytes.to_vec();
            mail::set_enclosure(&mut bytes, Enclosure::Lost);
            let first = Frame { enclosure: Enclosure::Lost, ..run.first };
            let run = Run { first, bytes: &bytes, count: run.count };
            return Ok(self.deliver(&run, &Parcel::of(&bytes), fd, receivers, now));
        }
        Ok(self.deliver(run, &Parcel::of(run.bytes), fd, receivers, now))
    }

    /// Tries again; what still has to wait comes back.
    pub(super) fn retry(&mut self, parked: Parked, now: Instant) -> Option<Parked> {
        let parcel = Parcel::Shared(Arc::clone(&parked.run));
        // It was decoded before.
        let Ok(Some(run)) = Run::at_front(&parked.run) else { return None };
        let mut fd = parked.fd;
        self.deliver(&run, &parcel, &mut fd, parked.pending, now)
    }

    /// The one worker that a frame is for, if nothing waits for it and the frame can end nowhere else.
    pub(super) fn idle_receiver(&self, head: &Head) -> Option<WorkerId> {
        let worker = match (head.kind, head.to) {
            (Kind::Message | Kind::Reply | Kind::Failed, Place::Worker(worker)) => worker,
            (Kind::Message, Place::Slot(slot)) => self.directory.in_slot(slot)?,
            _ => return None,
        };
        // One that is not here may be about to be.
        let line = self.lines.get(&worker)?;
        (!line.closed && line.outbox.is_empty()).then_some(worker)
    }

    /// The processes behind an address.
    fn receivers(&self, from: Place, to: Place) -> Vec<Place> {
        match to {
            Place::Everyone => {
                let workers = self.lines.keys().map(|&worker| Place::Worker(worker));
                workers.chain([Place::Master]).filter(|&place| place != from).collect()
            }
            Place::Slot(slot) => {
                self.directory.in_slot(slot).map(Place::Worker).into_iter().collect()
            }
            Place::Service(service) => {
                self.directory.next_of(service, |_| 0).map(Place::Worker).into_iter().collect()
            }
            Place::Workers(service) => {
                let workers = self.directory.all_of(service).into_iter().map(Place::Worker);
                workers.filter(|&place| place != from).collect()
            }
            Place::Master | Place::Worker(_) => vec![to],
        }
    }

    /// Chooses who is to answer.
    fn begin_request(&mut self, from: Place, to: Place, request: u64) -> Result<Place, Failure> {
        let gone = |worker| self.lines.get(&worker).is_none_or(|line| line.closed);
        let receiver = match to {
            Place::Service(service) => {
                // One that is on its way to its end answers nothing, so it would seem to be the idlest.
                let unanswered = |worker| match gone(worker) {
                    true => usize::MAX,
                    false => self.requests.unanswered(worker),
                };
                self.directory.next_of(service, unanswered).map(Place::Worker)
            }
            _ => self.receivers(from, to).first().copied(),
        };
        // The master does not die before those who ask it.
        let lives = |place: &Place| !matches!(*place, Place::Worker(worker) if gone(worker));
        let receiver = receiver.filter(lives).ok_or(Failure::Gone)?;
        match self.requests.begin((from, request), receiver) {
            true => Ok(receiver),
            false => Err(Failure::TooMany),
        }
    }

    /// Tells an asker that there will be no reply.
    fn bounce(&mut self, asker: Place, request: u64, failure: Failure, now: Instant) {
        let bytes = Head::failed(Place::Master, asker, request, failure);
        let Ok(Some(run)) = Run::at_front(&bytes) else { return };
        self.deliver(&run, &Parcel::Small(&bytes), &mut None, vec![asker], now);
    }

    /// Tells who is to answer that nobody waits for that.
    fn tell_abandoned(&mut self, (asker, request): Asking, by: Place, now: Instant) {
        let bytes = Head::abandoned(asker, by, request);
        if let Ok(Some(run)) = Run::at_front(&bytes) {
            self.hint(by, &run, now);
        }
    }

    /// Tells a process what it can do without.
    fn hint(&mut self, to: Place, run: &Run<'_>, now: Instant) {
        match to {
            Place::Worker(worker) => {
                if let Some(line) = self.lines.get_mut(&worker) {
                    line.push_hint(&Parcel::Small(run.bytes));
                }
            }
            // No mailbox of the master's has to have room for it.
            _ => drop((self.local)(run, &mut None, now)),
        }
    }

    fn deliver(
        &mut self,
        run: &Run<'_>,
        parcel: &Parcel<'_>,
        fd: &mut Option<Passing>,
        receivers: Vec<Place>,
        now: Instant,
    ) -> Option<Parked> {
        let mut pending = Vec::new();
        let mut until: Option<Instant> = None;
        for receiver in receivers {
            if let Err(at) = self.hand_over(run, parcel, fd, receiver, now) {
                pending.push(receiver);
                until = Some(until.map_or(at, |until| until.min(at)));
            }
        }
        let until = until?;
        Some(Parked { run: parcel.to_shared(), fd: fd.take(), pending, until })
    }

    /// Gives frames to one receiver; an error says when to try again.
    fn hand_over(
        &mut self,
        run: &Run<'_>,
        parcel: &Parcel<'_>,
        fd: &mut Option<Passing>,
        receiver: Place,
        now: Instant,
    ) -> Result<(), Instant> {
        let Place::Worker(worker) = receiver else { return (self.local)(run, fd, now) };
        let Head { kind, from, request, .. } = run.first.head;
        let asked = kind == Kind::Request;
        let Some(line) = self.lines.get_mut(&worker).filter(|line| !line.closed) else {
            // Known dead. Its requests have failed with it, unless this one came later.
            if asked && self.requests.end((from, request), receiver) {
                self.bounce(from, request, Failure::Gone, now);
            }
            self.tell_ended(worker, from);
            return Ok(());
        };
        if kind == Kind::Failed {
            line.push_notice(parcel);
            return Ok(());
        }
        match line.judge(now) {
            Verdict::Deliver => line.push(parcel, fd),
            Verdict::Wait(until) => return Err(until),
            Verdict::Drop if kind == Kind::Reply => {
                self.bounce(receiver, request, Failure::Dropped, now);
            }
            Verdict::Drop => {
                line.count_dropped(run.first.name, run.count as u64);
                if asked && self.requests.end((from, request), receiver) {
                    self.bounce(from, request, Failure::Dropped, now);
                }
            }
        }
        Ok(())
    }

    /// A worker is to be; `row` is where it speaks of itself.
    pub(super) fn add(&mut self, worker: WorkerId, row: &'static Row) {
        self.lines.entry(worker).or_insert_with(|| Line::new(row));
        self.newest = self.newest.max(worker);
    }

    /// Tells who sent something to a worker that it has ended; of one that never was nothing is known.
    fn tell_ended(&mut self, worker: WorkerId, to: Place) {
        let Place::Worker(other) = to else { return };
        if worker > self.newest || self.lines.contains_key(&worker) {
            return;
        }
        if let Some(line) = self.lines.get_mut(&other) {
            line.push_notice(&Parcel::Small(&Head::ended(worker, to)));
        }
    }

    /// A worker has ended: what it was asked fails at once, what it asked is forgotten, and the others
    /// know.
    pub(super) fn ended(&mut self, worker: WorkerId, now: Instant) {
        self.lines.remove(&worker);
        for (&other, line) in &mut self.lines {
            line.push_notice(&Parcel::Small(&Head::ended(worker, Place::Worker(other))));
        }
        let Orphans { asked, abandoned } = self.requests.ended(worker);
        for (asker, request) in asked {
            self.bounce(asker, request, Failure::Gone, now);
        }
        for (asking, by) in abandoned {
            self.tell_abandoned(asking, by, now);
        }
    }
}
