//! Who gets a frame: the hub's decisions, apart from its sockets.
//!
//! Does no I/O and takes time as an argument. Routes on bytes; the payload of a message is not looked at.
//! Whatever a worker sends, the state stays bounded: what waits for a worker as `line` says, the open
//! requests by `OPEN_REQUESTS_MAX` for each asker.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use super::{directory::Directory, foreign::Foreign, line::Line};
use crate::{
    id::WorkerId,
    mail::{
        self, Enclosure, Failure, Frame, Head, Kind, OPEN_REQUESTS_MAX, Place, patience::Verdict,
        pieces::Parcel, run::Run,
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
    /// By asker and number: who is to answer.
    open: HashMap<(Place, u64), WorkerId>,
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
            open: HashMap::new(),
            newest: MASTER,
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
                if !self.end_request(to, request, from) {
                    return Ok(None);
                }
                vec![to]
            }
            Kind::Abandoned => {
                self.forget_request(from, request);
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
                self.directory.next_of(service).map(Place::Worker).into_iter().collect()
            }
            Place::Workers(service) => {
                let workers = self.directory.all_of(service).into_iter().map(Place::Worker);
                workers.filter(|&place| place != from).collect()
            }
            Place::Master | Place::Worker(_) => vec![to],
        }
    }

    fn begin_request(&mut self, from: Place, to: Place, request: u64) -> Result<Place, Failure> {
        let receiver = *self.receivers(from, to).first().ok_or(Failure::Gone)?;
        let of_asker = match from {
            Place::Worker(asker) => self.lines.get(&asker).map_or(0, |line| line.open),
            _ => 0,
        };
        if of_asker >= OPEN_REQUESTS_MAX {
            return Err(Failure::TooMany);
        }
        match receiver {
            Place::Worker(worker) if self.lines.get(&worker).is_none_or(|l| l.closed) => {
                Err(Failure::Gone)
            }
            // The master does not die before those who ask it.
            receiver => {
                let by = match receiver {
                    Place::Worker(worker) => worker,
                    _ => MASTER,
                };
                if self.open.insert((from, request), by).is_none() {
                    self.count_open(from, 1);
                }
                Ok(receiver)
            }
        }
    }

    fn end_request(&mut self, asker: Place, request: u64, by: Place) -> bool {
        let by = match by {
            Place::Worker(worker) => worker,
            _ => MASTER,
        };
        let known = self.open.get(&(asker, request)) == Some(&by);
        if known {
            self.forget_request(asker, request);
        }
        known
    }

    fn forget_request(&mut self, asker: Place, request: u64) {
        if self.open.remove(&(asker, request)).is_some() {
            self.count_open(asker, -1);
        }
    }

    fn count_open(&mut self, asker: Place, by: isize) {
        if let Place::Worker(asker) = asker {
            if let Some(line) = self.lines.get_mut(&asker) {
                line.open = line.open.saturating_add_signed(by);
            }
        }
    }

    /// Tells an asker that there will be no reply.
    fn bounce(&mut self, asker: Place, request: u64, failure: Failure, now: Instant) {
        let bytes = Head::failed(Place::Master, asker, request, failure);
        let Ok(Some(run)) = Run::at_front(&bytes) else { return };
        self.deliver(&run, &Parcel::Small(&bytes), &mut None, vec![asker], now);
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
            if asked && self.end_request(from, request, receiver) {
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
                if asked && self.end_request(from, request, receiver) {
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
        let me = Place::Worker(worker);
        self.open.retain(|(asker, _), _| *asker != me);
        let orphaned: Vec<(Place, u64)> =
            self.open.iter().filter(|(_, by)| **by == worker).map(|(&key, _)| key).collect();
        for (asker, request) in orphaned {
            self.forget_request(asker, request);
            self.bounce(asker, request, Failure::Gone, now);
        }
    }
}

/// Stands for the master among those who are to answer: workers are numbered from 1.
const MASTER: WorkerId = WorkerId(0);
