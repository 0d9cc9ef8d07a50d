//! Workers that live but should not go on: hung ones, and those past a limit.
//!
//! Looks at what the workers' rows and the kernel say of them, at intervals. A heartbeat is any change
//! of a number; how old it is, is counted in looks that came in time, so that neither a clock that
//! jumps nor a machine that was suspended makes a worker look dead.

use std::time::{Duration, Instant};

use super::{
    Action, Signs, Supervisor,
    record::{Heart, Place, Sitting, Worker},
};
use crate::{config::Config, event::WorkerState, id::WorkerId};

/// Between SIGABRT, which leaves a core file or a backtrace, and SIGKILL.
const ABORT_GRACE: Duration = Duration::from_secs(2);

/// How often is looked at the limits.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(25);

/// Looks within one `hang_timeout`.
const LOOKS: u32 = 8;

/// A machine so busy that a worker gets no processor for this many times `hang_timeout` is no excuse.
const STARVED_MAX: u32 = 4;

/// A worker is not replaced for its memory sooner: a limit below what any worker needs would otherwise
/// replace them one after the other without end.
const RSS_AGE_MIN: Duration = Duration::from_secs(10);

impl Supervisor {
    /// How often to look, if at all.
    pub(super) fn look_interval(&self) -> Option<Duration> {
        let rules = || self.services.iter().map(|service| &service.given.rules);
        let limited = |r: &Config| r.recycle.connections.is_some() || r.recycle.rss.is_some();
        let by_limits = rules().any(limited).then_some(LOOK_INTERVAL);
        let by_hang = rules().filter_map(|r| r.hang_timeout).min().map(|timeout| timeout / LOOKS);
        let interval = [by_limits, by_hang].into_iter().flatten().min()?;
        Some(interval.clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL))
    }

    /// When to look next.
    pub(super) fn look_at(&self) -> Option<Instant> {
        let interval = self.look_interval().filter(|_| self.ever_ready && !self.is_ending())?;
        Some(self.looked.unwrap_or(self.begun) + interval)
    }

    pub(super) fn look(&mut self, now: Instant, out: &mut Vec<Action>) {
        let interval = self.look_interval().unwrap_or(LOOK_INTERVAL);
        let since = self.looked.replace(now).map_or(interval, |at| now.duration_since(at));
        // A look that comes late says nothing about the workers: they may have been stopped as well.
        self.look_covers = since.min(interval * 2);
        out.push(Action::Look);
    }

    /// What a look has found.
    pub(super) fn looked_at(&mut self, signs: &[Signs], now: Instant, out: &mut Vec<Action>) {
        for signs in signs {
            self.check_heart(signs, now, out);
            self.check_limits(signs, now);
        }
    }

    fn check_heart(&mut self, signs: &Signs, now: Instant, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&signs.worker) else { return };
        let rules = &self.services[worker.service].given.rules;
        let (covers, Some(timeout)) = (self.look_covers, rules.hang_timeout) else { return };
        // 0 is a runtime that has no heart yet, or never will: `start_timeout` is for those.
        let beats = signs.beat != worker.heart.beat || signs.beat == 0;
        if beats || worker.state() != WorkerState::Ready || worker.killed.is_some() {
            worker.heart = Heart { beat: signs.beat, starved: signs.starved, ..Heart::default() };
            return;
        }
        let heart = &mut worker.heart;
        let starved = signs.starved.saturating_sub(heart.starved);
        heart.starved = signs.starved;
        heart.silent += covers.saturating_sub(starved);
        heart.elapsed += covers;
        if heart.silent < timeout && heart.elapsed < timeout * STARVED_MAX {
            return;
        }
        if worker.aborted.is_none() {
            worker.aborted = Some(now);
            let (slot, id) = (worker.slot, signs.worker);
            let silent = humantime::format_duration(timeout);
            out.push(Action::Warn(format!(
                "slot {slot} (worker {id}) hangs: no heartbeat for {silent} (hang_timeout); SIGABRT, then SIGKILL"
            )));
            out.push(Action::Abort { worker: id });
        }
    }

    fn check_limits(&mut self, signs: &Signs, now: Instant) {
        let Some(worker) = self.workers.get(&signs.worker).filter(|w| w.is_serving()) else {
            return;
        };
        let old_enough = worker.ready.is_some_and(|at| now.duration_since(at) >= RSS_AGE_MIN);
        let past = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value >= limit);
        let worn = past(worker.limits.connections, signs.connections)
            || (old_enough && past(worker.limits.rss, signs.rss));
        if worn {
            self.wear_out(signs.worker);
        }
    }

    /// The worker is past a limit: it is replaced when its turn comes.
    pub(super) fn wear_out(&mut self, id: WorkerId) {
        if self.place(id) == Place::Sitting {
            let slot = self.workers[&id].slot;
            self.seats[slot].worn = true;
        }
    }

    /// As one that is past a limit, as soon as it serves in its seat.
    pub(super) fn wear_out_if_asked(&mut self, id: WorkerId) {
        if self.workers.get(&id).is_some_and(|worker| worker.replace_asked && worker.is_serving()) {
            self.wear_out(id);
        }
    }

    /// When the worker is past its age.
    pub(super) fn worn_at(&self, id: WorkerId, worker: &Worker) -> Option<Instant> {
        let seat = self.seats.get(worker.slot)?;
        let waits = seat.sitting == Sitting::Taken(id) && !seat.worn && worker.is_serving();
        Some(worker.ready.filter(|_| waits)? + worker.limits.age?)
    }

    /// When SIGABRT has had its time.
    pub(super) fn abort_over(worker: &Worker) -> Option<Instant> {
        worker.aborted.filter(|_| worker.killed.is_none()).map(|at| at + ABORT_GRACE)
    }
}
