//! One berth's place at one listener: its queue, whether it is available, whether it takes what it gets.
//!
//! Decides when a berth is passed over; does not decide whose turn it is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::handoff::{Connection, Queue, Refusal, WAITING_MAX};

/// A queue from which nothing was taken for this long, though something waits, is not being served.
pub(super) const STALLED: Duration = Duration::from_millis(250);

/// A berth that stalled is tried again with one connection after this long, doubled up to the second.
const PROBE_FIRST: Duration = Duration::from_millis(250);
const PROBE_LAST: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(super) struct Lane {
    queue: Arc<Queue>,
    /// Its worker lives and accepts on this listener.
    admitted: bool,
    /// Its worker accepts from the socket itself and takes nothing from the queue.
    shared: bool,
    /// At most this many connections wait: counted up at each send, made exact by `refresh`.
    waiting: u64,
    /// When a connection was last seen to be taken, or the queue to be empty.
    progress: Instant,
    /// After a stall: not available before this time, and how long the next pause would be.
    probe: Option<(Instant, Duration)>,
    /// The queue was shut down; a new one is on its way.
    pub(super) broken: bool,
}

impl Lane {
    pub(super) fn new(queue: Arc<Queue>, now: Instant) -> Self {
        let waiting = queue.waiting();
        Self {
            queue,
            admitted: false,
            shared: false,
            waiting,
            progress: now,
            probe: None,
            broken: false,
        }
    }

    /// Puts a queue in the place of a broken one.
    pub(super) fn set_queue(&mut self, queue: Arc<Queue>, now: Instant) {
        *self = Self::new(queue, now);
    }

    pub(super) fn admit(&mut self, now: Instant) {
        self.admitted = !self.shared;
        self.progress = now;
        self.probe = None;
    }

    pub(super) fn withdraw(&mut self) {
        self.admitted = false;
        self.shared = false;
        self.probe = None;
    }

    /// Nothing is sent here until its worker has ended.
    pub(super) fn share(&mut self) {
        self.withdraw();
        self.shared = true;
    }

    pub(super) fn is_admitted(&self) -> bool {
        self.admitted && !self.broken
    }

    /// Whether the next connection may go here.
    pub(super) fn is_available(&self, now: Instant) -> bool {
        self.is_admitted()
            && self.waiting < WAITING_MAX
            && match self.probe {
                // While it is being tried, one connection at a time.
                Some((at, _)) => at <= now && self.waiting == 0,
                None => true,
            }
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
        self.waiting > 0 && (!self.is_admitted() || now.duration_since(self.progress) >= STALLED)
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

    /// Not available for nothing but being full: room in its queue makes it so again.
    pub(super) fn wants_room(&self) -> bool {
        self.is_admitted() && self.probe.is_none() && self.waiting >= WAITING_MAX
    }

    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// When to look again whether what waits is being taken, or to try again.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        let stalled = (self.waiting > 0 && self.is_admitted()).then_some(self.progress + STALLED);
        let probe = self.probe.map(|(at, _)| at).filter(|&at| at > now);
        stalled.into_iter().chain(probe).map(|at| at.max(now + LOOK_PAUSE)).min()
    }
}

/// Looking more often than this would be work without news.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
