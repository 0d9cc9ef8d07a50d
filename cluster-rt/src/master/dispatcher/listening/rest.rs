//! When the dispatcher may let connections come together, and then take many at a time.
//!
//! Only after some came, and while every worker has connections to take: hardly anybody is served later for that.
//! What it saves is the thread's own sleeps and wake-ups, and those of workers that would find one connection at
//! a time. Invariant: where nothing comes it does not rest, so that it sleeps until something does.

use std::time::{Duration, Instant};

use super::Listening;

/// Hardly a thread takes a connection in less, so that with two waiting it has something to do for twice as long.
const CONNECTION_MIN: Duration = Duration::from_micros(20);

/// However many wait, so that a worker that is to get nothing more is not sent what came long before.
const REST_MAX: Duration = Duration::from_micros(500);

impl Listening {
    /// Rests if everybody has something to take. For orders and deadlines the thread wakes all the same.
    pub(super) fn rest(&mut self, now: Instant) {
        let least = self.least_waiting(now);
        let rest = CONNECTION_MIN.saturating_mul(u32::try_from(least).unwrap_or(u32::MAX));
        self.rests_until = (least > 0).then(|| Instant::now() + rest.min(REST_MAX));
    }

    /// How many connections wait for the worker for which fewest do; 0 if nobody accepts.
    fn least_waiting(&mut self, now: Instant) -> u64 {
        let mut least = None;
        for lane in self.lanes.iter_mut().flatten().filter(|lane| lane.is_admitted()) {
            // Asks the kernel only where something may wait.
            lane.refresh(now);
            if lane.waiting() == 0 {
                return 0;
            }
            least = Some(least.map_or(lane.waiting(), |least: u64| least.min(lane.waiting())));
        }
        least.unwrap_or(0)
    }
}
