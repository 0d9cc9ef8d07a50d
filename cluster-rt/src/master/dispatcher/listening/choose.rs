//! Giving a connection to the lane that the listener's schedule says.
//!
//! A connection is given or held, never dropped.

use std::time::Instant;

use super::{EXHAUSTED_PAUSE, HELD_RETRY, Listening, News};
use crate::{
    endpoint::Schedule,
    handoff::{Connection, Refusal},
    master::dispatcher::lane::Lane,
    policy::schedule,
};

impl Listening {
    /// Gives the connection to the next lane that takes it; holds it and returns `false` if none does.
    pub(super) fn hand_over(&mut self, mut connection: Connection, now: Instant) -> bool {
        loop {
            let chosen = self.choose(&connection, now);
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

    fn choose(&mut self, connection: &Connection, now: Instant) -> Option<usize> {
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
        match (self.schedule, connection.peer) {
            (Schedule::Sticky, Some(peer)) => {
                let client = schedule::client(peer.ip());
                let takes = |slot| self.lane_of(slot, now).is_some();
                let slot = schedule::sticky(client, self.slots, takes);
                // Only during a change of their number is nobody in the slots there are.
                slot.and_then(|slot| self.lane_of(slot, now)).or_else(|| {
                    let lanes = &self.lanes;
                    self.turn.next(count, |at| lanes[at].as_ref().is_some_and(is_available))
                })
            }
            (Schedule::LeastConnections, _) => {
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
