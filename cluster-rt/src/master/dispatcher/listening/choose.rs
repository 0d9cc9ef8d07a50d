//! Giving a connection to the lane that the listener's schedule says.
//!
//! A connection is given or held, never dropped.

use std::time::Instant;

use super::{EXHAUSTED_PAUSE, HELD_RETRY, Listening, News};
use crate::{
    endpoint::Schedule,
    handoff::{Connection, Refusal},
    master::dispatcher::lane::Lane,
    policy::schedule::{self, Home},
};

impl Listening {
    /// Gives the connection to the next lane that takes it; holds it and returns `false` if none does.
    pub(super) fn hand_over(&mut self, connection: Connection, now: Instant) -> bool {
        // Nobody has read what was there when it was looked at before.
        let home = self.peeked.as_mut().and_then(|peeked| peeked.home_of(&connection));
        self.hand_over_to(home, connection, now)
    }

    /// The same, of a connection whose first bytes have been looked at.
    pub(super) fn hand_over_to(
        &mut self,
        home: Option<Home>,
        mut connection: Connection,
        now: Instant,
    ) -> bool {
        loop {
            let chosen = self.choose(home, &connection, now);
            let Some(lane) = chosen.and_then(|at| self.lanes[at].as_mut()) else {
                self.held.push_front(connection);
                return false;
            };
            match lane.send(connection, now) {
                Ok(()) => return true,
                Err((given_back, Refusal::Broken)) => connection = given_back,
                Err((given_back, Refusal::Full)) => {
                    self.paused_until = Some(now + HELD_RETRY);
                    self.held.push_front(given_back);
                    return false;
                }
                Err((given_back, Refusal::TooManyInFlight)) => {
                    self.paused_until = Some(now + EXHAUSTED_PAUSE);
                    self.held.push_front(given_back);
                    let text = "handoff: too many descriptors in flight for this user; connections \
                                wait (raise the limit of open files, `ulimit -n`, or give other \
                                programs another user)";
                    self.news.push(News::Remedy(text.to_owned()));
                    return false;
                }
            }
        }
    }

    fn choose(
        &mut self,
        home: Option<Home>,
        connection: &Connection,
        now: Instant,
    ) -> Option<usize> {
        // The counts are upper bounds: before a lane is passed over as full, the kernel is asked.
        for lane in self.lanes.iter_mut().flatten().filter(|lane| lane.seems_full()) {
            lane.refresh(now);
        }
        let closing = self.closing.is_some();
        // When closing there is no later: the bound is then what the queue's socket holds.
        let is_available = |lane: &Lane| match closing {
            true => lane.is_admitted() && !lane.is_paused(now),
            false => lane.is_available(now),
        };
        let count = self.lanes.len();
        let home_slot = match (self.rules.schedule, connection.peer, home) {
            (Schedule::Sticky, Some(peer), _) => {
                let takes = |slot| self.lane_of(slot, now).is_some();
                schedule::sticky(schedule::client(peer.ip()), self.slots, takes)
            }
            (Schedule::ByKey(_), _, Some(home)) => {
                let takes = |place: usize| self.lane_of(self.shares[place], now).is_some();
                schedule::home(home, self.shares.len(), takes).map(|place| self.shares[place])
            }
            _ => None,
        };
        // Only during a change of their number is nobody in the slots there are.
        if let Some(lane) = home_slot.and_then(|slot| self.lane_of(slot, now)) {
            return Some(lane);
        }
        match self.rules.schedule {
            Schedule::LeastConnections => {
                self.lanes.iter_mut().flatten().for_each(|lane| lane.refresh(now));
                let lanes = &self.lanes;
                let load = |at: usize| {
                    lanes[at].as_ref().filter(|lane| is_available(lane)).map(Lane::load)
                };
                self.turn.least(count, load)
            }
            _ => {
                let lanes = &self.lanes;
                self.turn.next(count, |at| lanes[at].as_ref().is_some_and(is_available))
            }
        }
    }

    /// The lane where a sticky client of this slot can be: that of its worker, or while that one has
    /// just ended and the next is to come, the one it left.
    fn lane_of(&self, slot: usize, now: Instant) -> Option<usize> {
        let of_slot =
            |lane: &Option<Lane>| lane.as_ref().filter(|lane| lane.slot == slot).is_some();
        let mut lanes = self.lanes.iter().enumerate().filter(|(_, lane)| of_slot(lane));
        let closing = self.closing.is_some();
        let takes = |lane: &Lane| match closing {
            true => lane.is_admitted() && !lane.is_paused(now),
            false => lane.is_awaited(now),
        };
        let admitted = lanes.clone().find(|(_, lane)| lane.as_ref().is_some_and(Lane::is_admitted));
        match admitted {
            Some((at, lane)) => lane.as_ref().is_some_and(takes).then_some(at),
            None => lanes.find(|(_, lane)| lane.as_ref().is_some_and(takes)).map(|(at, _)| at),
        }
    }
}
