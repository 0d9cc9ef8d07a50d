//! One berth's place at one listener: its queue, whether it is available, whether it takes what it gets.
//!
//! Decides when a berth is passed over; does not decide whose turn it is.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::rules::Rules;
use crate::{
    handoff::{Connection, Queue, Refusal},
    sys::scoreboard::Row,
    wire::Limits,
};

/// A queue from which nothing was taken for this long, though something waits, is not being served.
pub(super) const STALLED: Duration = Duration::from_millis(250);

/// How long a sticky client waits for its own slot.
pub(super) const STICKY_PATIENCE: Duration = Duration::from_secs(1);

/// A berth that stalled is tried again with one connection after this long, doubled up to the second.
const PROBE_FIRST: Duration = Duration::from_millis(250);
const PROBE_LAST: Duration = Duration::from_secs(4);

/// Looking more often than this would be work without news.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// The worker in a berth, as far as it concerns one listener.
#[derive(Clone, Debug)]
pub(in crate::master) struct Occupant {
    /// What it says of itself, and any worker can write.
    pub(in crate::master) row: &'static Row,
    pub(in crate::master) limits: Limits,
    pub(in crate::master) generation: u32,
    pub(in crate::master) rules: Arc<Rules>,
}

/// What the worker in the berth does with the listener.
#[derive(Debug)]
enum Use {
    /// There is none that accepts; since when, if one did and the next is to come.
    Nobody { vacated: Option<Instant> },
    /// It takes from the queue, and with some schedules from a socket as well.
    Accepts(Occupant),
    /// It accepts from a socket by means of its own, and takes nothing from the queue.
    Alone,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) slot: usize,
    queue: Arc<Queue>,
    used: Use,
    /// At most this many connections wait: counted up at each send, made exact by `refresh`.
    waiting: u64,
    /// How long what waits may see no progress.
    patience: Duration,
    /// When a connection was last seen to be taken, or the queue to be empty.
    progress: Instant,
    /// After a stall: not available before this time, and how long the next pause would be.
    probe: Option<(Instant, Duration)>,
    /// The queue was shut down; a new one is on its way.
    pub(super) broken: bool,
}

impl Lane {
    pub(super) fn new(slot: usize, queue: Arc<Queue>, sticky: bool, now: Instant) -> Self {
        let waiting = queue.waiting();
        let mut lane = Self {
            slot,
            queue,
            used: Use::Nobody { vacated: None },
            waiting,
            patience: STALLED,
            progress: now,
            probe: None,
            broken: false,
        };
        lane.set_patience(sticky);
        lane
    }

    pub(super) fn set_patience(&mut self, sticky: bool) {
        self.patience = if sticky { STICKY_PATIENCE } else { STALLED };
    }

    pub(super) fn admit(&mut self, occupant: Occupant, now: Instant) {
        if !matches!(self.used, Use::Alone) {
            self.used = Use::Accepts(occupant);
        }
        self.progress = now;
        self.probe = None;
    }

    /// Its worker takes nothing new.
    pub(super) fn withdraw(&mut self) {
        self.used = Use::Nobody { vacated: None };
        self.probe = None;
    }

    /// Its worker has ended, and another may follow.
    pub(super) fn vacate(&mut self, now: Instant) {
        let vacated = self.is_admitted().then_some(now);
        self.withdraw();
        self.used = Use::Nobody { vacated };
    }

    /// Nothing is sent here until its worker has ended.
    pub(super) fn share(&mut self) {
        self.withdraw();
        self.used = Use::Alone;
    }

    fn occupant(&self) -> Option<&Occupant> {
        match &self.used {
            Use::Accepts(occupant) if !self.broken => Some(occupant),
            _ => None,
        }
    }

    /// What its worker asks of the listener, and which generation that is.
    pub(super) fn asks(&self) -> Option<(u32, &Arc<Rules>)> {
        self.occupant().map(|occupant| (occupant.generation, &occupant.rules))
    }

    pub(super) fn is_admitted(&self) -> bool {
        self.occupant().is_some()
    }

    /// Whether its worker may be taking connections from a socket of its own.
    pub(super) fn is_served(&self) -> bool {
        self.is_admitted() || matches!(self.used, Use::Alone)
    }

    /// Whether the next connection may go here.
    pub(super) fn is_available(&self, now: Instant) -> bool {
        let Some(occupant) = self.occupant() else { return false };
        self.waiting < occupant.limits.waiting
            && !self.is_at_limit()
            && match self.probe {
                // While it is being tried, one connection at a time.
                Some((at, _)) => at <= now && self.waiting == 0,
                None => true,
            }
    }

    /// Whether a sticky client's connection may wait here: for the worker, or for the next one.
    pub(super) fn is_awaited(&self, now: Instant) -> bool {
        let recent = |at: Instant| now.duration_since(at) < STICKY_PATIENCE;
        match self.used {
            Use::Nobody { vacated: Some(at) } if !self.broken => {
                recent(at) && self.waiting < crate::handoff::WAITING_MAX
            }
            _ => self.is_available(now),
        }
    }

    /// Whether its worker has as many connections as it may.
    pub(super) fn is_at_limit(&self) -> bool {
        let limit = self.occupant().and_then(|occupant| occupant.limits.connections);
        limit.is_some_and(|limit| self.load() >= limit)
    }

    /// Connections of its worker, open or waiting here.
    pub(super) fn load(&self) -> u64 {
        let active = self.occupant().map_or(0, |o| o.row.active.load(Ordering::Relaxed));
        active.saturating_add(self.waiting)
    }

    /// Connections that its worker has had in all; `None` if there is no such worker.
    pub(super) fn taken(&self) -> Option<u64> {
        let row = self.occupant()?.row;
        let (active, served) = (&row.active, &row.served);
        Some(active.load(Ordering::Relaxed).wrapping_add(served.load(Ordering::Relaxed)))
    }

    /// Left alone for a while, because nothing was taken from it.
    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.probe.is_some_and(|(at, _)| at > now)
    }

    pub(super) fn send(
        &mut self,
        connection: Connection,
        now: Instant,
    ) -> Result<(), (Connection, Refusal)> {
        if self.waiting == 0 {
            self.progress = now;
        }
        let sent = self.queue.send(connection);
        match &sent {
            Ok(()) => self.waiting += 1,
            Err((_, Refusal::Broken)) => self.broken = true,
            Err((_, Refusal::Full | Refusal::TooManyInFlight)) => {}
        }
        sent
    }

    /// Asks the kernel how many wait, if any may.
    pub(super) fn refresh(&mut self, now: Instant) {
        if self.waiting == 0 {
            return;
        }
        let waiting = self.queue.waiting();
        if waiting < self.waiting || waiting == 0 {
            self.progress = now;
            self.probe = None;
        }
        self.waiting = waiting;
    }

    /// Whether connections wait that nobody here is going to take soon.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        let deadline = match self.used {
            Use::Nobody { vacated: Some(at) } if self.patience == STICKY_PATIENCE => {
                at + self.patience
            }
            Use::Accepts(_) if !self.broken => self.progress + self.patience,
            _ => now,
        };
        self.waiting > 0 && now >= deadline
    }

    /// After what waited was taken back from a lane whose worker lives: leave it alone for a while.
    pub(super) fn pause(&mut self, now: Instant) {
        if self.is_admitted() {
            let next = self.probe.map_or(PROBE_FIRST, |(_, pause)| (pause * 2).min(PROBE_LAST));
            self.probe = Some((now + next, next));
        }
        self.progress = now;
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether as many wait as may, by a count that is never too low.
    pub(super) fn seems_full(&self) -> bool {
        self.occupant().is_some_and(|occupant| self.waiting >= occupant.limits.waiting)
    }

    /// Not available for nothing but being full: room in its queue makes it so again.
    pub(super) fn wants_room(&self) -> bool {
        self.probe.is_none() && self.seems_full()
    }

    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// When to look again whether what waits is being taken, or to try again.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        let stalled = match self.used {
            Use::Accepts(_) if self.waiting > 0 => Some(self.progress + self.patience),
            Use::Nobody { vacated: Some(at) } if self.waiting > 0 => Some(at + self.patience),
            _ => None,
        };
        let probe = self.probe.map(|(at, _)| at).filter(|&at| at > now);
        stalled.into_iter().chain(probe).map(|at| at.max(now + LOOK_PAUSE)).min()
    }
}
