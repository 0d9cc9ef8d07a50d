//! What becomes of a connection that was just accepted, and of those whose first bytes are awaited.
//!
//! Decides when a connection is given to `choose` and with which home; where `peeking` has it, it is in no queue and
//! not held. Invariant: nothing waits for its first bytes once the listener is being closed.

use std::time::{Duration, Instant};

use super::{
    Listening, News,
    peeking::{Decided, Peeked},
};
use crate::handoff::Connection;

/// How many are waited for no longer when there is no descriptor for another.
const HURRIED: usize = 16;

/// How often it is told that connections without a key are closed.
const CLOSED_TOLD: Duration = Duration::from_secs(1);

impl Listening {
    /// Hands a new connection over, or waits for its first bytes; `false` if no more can be taken now.
    pub(super) fn meet(&mut self, connection: Connection, now: Instant) -> bool {
        let Some(peeked) = &mut self.peeked else { return self.hand_over(connection, now) };
        if let Some(decided) = peeked.meet(connection, now) {
            self.settle(decided, now);
        }
        while let Some(decided) = self.peeked.as_mut().and_then(|peeked| peeked.overdue(now)) {
            self.settle(decided, now);
        }
        self.held.is_empty()
    }

    /// Looks at the connections of which bytes have come, and lets go of those whose time is over.
    pub(super) fn look_after_peeked(&mut self, now: Instant) {
        // While one is held, they stay where they are.
        let Some(peeked) = self.peeked.as_mut().filter(|_| self.held.is_empty()) else { return };
        for decided in peeked.look_at_arrivals() {
            self.settle(decided, now);
        }
        while self.held.is_empty() {
            let Some(decided) = self.peeked.as_mut().and_then(|peeked| peeked.overdue(now)) else {
                return;
            };
            self.settle(decided, now);
        }
    }

    fn settle(&mut self, (connection, home): Decided, now: Instant) {
        let closes = self.peeked.as_ref().is_some_and(|peeked| peeked.closes());
        if home.is_none() && closes {
            return self.close_without_key(connection, now);
        }
        if self.held.is_empty() {
            self.hand_over_to(home, connection, now);
        } else {
            // Its bytes are there still when it is its turn.
            self.held.push_back(connection);
        }
    }

    fn close_without_key(&mut self, connection: Connection, now: Instant) {
        drop(connection);
        let (count, told) = &mut self.without_key;
        *count += 1;
        if told.is_none_or(|at| now.duration_since(at) >= CLOSED_TOLD) {
            *told = Some(now);
            let text = format!(
                "schedule {}: closed {count} connections without a key since the start",
                self.rules.schedule
            );
            self.news.push(News::Info(text));
        }
    }

    /// From now on nothing waits for its first bytes: what did is to be handed over.
    pub(super) fn end_peeking(&mut self) {
        if let Some(peeked) = &mut self.peeked {
            self.held.extend(peeked.end());
        }
    }

    /// Whether those that wait for their first bytes are looked at in this round.
    pub(super) fn looks_at_peeked(&self) -> bool {
        self.held.is_empty()
    }

    /// There is no descriptor for the next connection: some of those that have waited longest go on as they are.
    pub(super) fn hurry_peeked(&mut self, now: Instant) {
        for _ in 0..HURRIED {
            let first = self.peeked.as_mut().filter(|_| self.held.is_empty());
            let Some(decided) = first.and_then(Peeked::oldest) else { return };
            self.settle(decided, now);
        }
    }
}
