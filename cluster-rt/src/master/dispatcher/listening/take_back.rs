//! Taking connections out of queues in which nobody is going to take them.
//!
//! What is taken back is given to somebody else, or held; its place in the queue is free again.

use std::time::Instant;

use super::Listening;
use crate::sys::fdpass::Spare;

impl Listening {
    /// Takes back what waits where nobody is going to take it soon, if somebody else can have it.
    pub(in crate::master::dispatcher) fn look_after_waiting(
        &mut self,
        now: Instant,
        spare: &Spare,
    ) {
        for at in 0..self.lanes.len() {
            let Some(lane) = &mut self.lanes[at] else { continue };
            if !lane.is_stuck(now) {
                continue;
            }
            lane.refresh(now);
            if !lane.is_stuck(now) {
                continue;
            }
            lane.pause(now);
            // Paused or withdrawn, the lane does not get back what is taken from it.
            while self.held.is_empty() && self.anybody_available(now) {
                let Some(lane) = &self.lanes[at] else { break };
                let Ok(Some(connection)) = lane.queue().take_back(spare) else { break };
                if !self.hand_over(connection, now) {
                    break;
                }
            }
            if let Some(lane) = &mut self.lanes[at] {
                lane.refresh(now);
                if lane.waiting() > 0 {
                    lane.pause(now);
                }
            }
        }
    }

    /// The berths whose queues were just found shut down, with their slots. What waited in one is
    /// dispatched again.
    pub(in crate::master::dispatcher) fn broken_lanes(
        &mut self,
        spare: &Spare,
    ) -> Vec<(usize, usize)> {
        let mut broken = Vec::new();
        for at in 0..self.lanes.len() {
            let Some(lane) = self.lanes[at].as_mut().filter(|lane| lane.broken) else { continue };
            while let Ok(Some(connection)) = lane.queue().take_back(spare) {
                self.held.push_back(connection);
            }
            broken.push((at, lane.slot));
            self.lanes[at] = None;
        }
        broken
    }
}
