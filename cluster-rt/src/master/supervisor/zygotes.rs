//! The zygotes: one for each generation that some slot may still need a worker of.
//!
//! A zygote that ends is replaced by one of the same code, as often as it takes; only the generation of
//! a reload may fail for it. A generation that nobody needs any more loses its zygote.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use super::{
    Action, EXIT_GAVE_UP, Supervisor,
    record::{Place, Sitting, Stage},
    start::FORK_RETRY,
};
use crate::{event::Event, id::WorkerId, policy::backoff, wire::HANDSHAKE_TIMEOUT};

/// A zygote, as far as the supervisor cares.
#[derive(Debug)]
pub(super) struct Zygote {
    pub(super) state: State,
    /// It has made a worker since it came up.
    served: bool,
    /// How often in a row it ended without having made a worker: it did not start, or it does not fork.
    failures: u32,
    /// Why it was killed.
    fault: Option<String>,
    /// When its latest workers died of a fault signal.
    crashes: VecDeque<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is none; another is started at this time, `None` if none is wanted.
    Absent { retry: Option<Instant> },
    /// Exec'd at this time, not up.
    Starting { since: Instant },
    /// Runs the user's preload since this time.
    Preloading { since: Instant },
    /// Forks on request.
    Up,
    /// Sent SIGKILL, not yet reaped.
    Killed { was: Was },
}

/// How far a zygote had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Was {
    Starting,
    Preloading,
    Up,
}

impl State {
    /// How far it has come, or had before it was killed; `None` if there is none.
    fn was(self) -> Option<Was> {
        match self {
            Self::Absent { .. } => None,
            Self::Starting { .. } => Some(Was::Starting),
            Self::Preloading { .. } => Some(Was::Preloading),
            Self::Up => Some(Was::Up),
            Self::Killed { was } => Some(was),
        }
    }
}

/// Spawns asked of one zygote and not answered. Bounds what its link has to hold.
const SPAWNS_AT_ONCE_MAX: usize = 16;

/// So many workers of one generation dead of a fault signal within [`CRASH_WINDOW`] mean that its
/// address layout is being probed: another zygote has another one.
const CRASHES_MAX: usize = 5;
const CRASH_WINDOW: Duration = Duration::from_secs(60);

impl Supervisor {
    pub(super) fn exec_zygote(&mut self, generation: u32, now: Instant, out: &mut Vec<Action>) {
        let zygote = self.zygotes.entry(generation).or_insert_with(|| Zygote {
            state: State::Absent { retry: None },
            served: false,
            failures: 0,
            fault: None,
            crashes: VecDeque::new(),
        });
        if matches!(zygote.state, State::Absent { .. }) {
            zygote.state = State::Starting { since: now };
            out.push(Action::ExecZygote { generation });
        }
    }

    /// Makes sure that the generation has a zygote, now or as soon as its backoff allows.
    pub(super) fn ensure_zygote(&mut self, generation: u32, now: Instant, out: &mut Vec<Action>) {
        if !self.zygotes.contains_key(&generation) {
            self.exec_zygote(generation, now, out);
        }
    }

    /// When a generation that has no zygote gets another.
    pub(super) fn zygote_retries(&self) -> impl Iterator<Item = (Instant, u32)> + '_ {
        let wanted = self.wants_any_workers();
        self.zygotes.iter().filter_map(move |(&generation, zygote)| match zygote.state {
            State::Absent { retry: Some(at) } if wanted => Some((at, generation)),
            _ => None,
        })
    }

    pub(super) fn zygote_up(&mut self, generation: u32) {
        let Some(zygote) = self.zygotes.get_mut(&generation) else { return };
        if matches!(zygote.state, State::Starting { .. } | State::Preloading { .. }) {
            zygote.state = State::Up;
        }
    }

    pub(super) fn zygote_preloading(&mut self, generation: u32, now: Instant) {
        let Some(zygote) = self.zygotes.get_mut(&generation) else { return };
        // Said again, it gains nothing.
        if matches!(zygote.state, State::Starting { .. }) {
            zygote.state = State::Preloading { since: now };
        }
    }

    pub(super) fn is_up(&self, generation: u32) -> bool {
        self.zygotes.get(&generation).is_some_and(|zygote| zygote.state == State::Up)
    }

    /// It has made a worker.
    pub(super) fn zygote_served(&mut self, generation: u32) {
        if let Some(zygote) = self.zygotes.get_mut(&generation) {
            (zygote.served, zygote.failures) = (true, 0);
        }
    }

    /// Its workers live on; spawns that it had not answered are asked of the next one.
    pub(super) fn zygote_exited(
        &mut self,
        generation: u32,
        reason: String,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        self.ask_again(generation, now, out);
        let needed = self.is_needed(generation);
        let Some(zygote) = self.zygotes.get_mut(&generation) else { return };
        let was = zygote.state.was();
        let reason = zygote.fault.take().unwrap_or(reason);
        zygote.state = State::Absent { retry: None };
        let served = std::mem::take(&mut zygote.served);
        zygote.failures = zygote.failures.saturating_add(u32::from(!served));
        let failures = zygote.failures;
        if self.is_ending() {
            return;
        }
        if !needed {
            return self.forget_generation(generation, out);
        }
        if self.reload_lost_its_zygote(generation, failures, &reason, now, out) {
            return self.forget_generation(generation, out);
        }
        out.push(Action::Emit(Event::ZygoteExited { generation, reason }));
        // A preload may take minutes and has no reason to go better at once.
        let hopeless = was == Some(Was::Preloading) && !self.ever_ready && !self.is_stopping();
        if (hopeless || failures >= self.rules.give_up) && !self.any_ready() {
            out.push(Action::Emit(Event::GaveUp { failed_starts: failures, service: None }));
            return self.kill(EXIT_GAVE_UP, out);
        }
        let delay = match failures {
            0 => Duration::ZERO,
            failures => backoff::delay(self.rules.backoff, failures, self.any_ready()),
        };
        if let Some(zygote) = self.zygotes.get_mut(&generation) {
            zygote.state = State::Absent { retry: Some(now + delay) };
        }
    }

    /// What the kernel refuses for want of processes, memory or descriptors is no fault of the program's: as
    /// for a worker, it counts for nothing, and is tried again for as long as it takes. A reload fails with it.
    pub(super) fn zygote_not_started(
        &mut self,
        generation: u32,
        reason: &str,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let needed = self.is_needed(generation);
        let Some(zygote) = self.zygotes.get_mut(&generation) else { return };
        zygote.state = State::Absent { retry: Some(now + FORK_RETRY) };
        zygote.fault = None;
        if self.is_ending() {
            return;
        }
        if !needed || self.reload_lost_its_zygote(generation, 0, reason, now, out) {
            return self.forget_generation(generation, out);
        }
        out.push(Action::Warn(format!(
            "start of zygote {generation}: {reason}; trying again in {} ms",
            FORK_RETRY.as_millis()
        )));
    }

    /// What a zygote had not answered is due again.
    fn ask_again(&mut self, generation: u32, now: Instant, out: &mut Vec<Action>) {
        for id in self.unanswered(generation) {
            self.unspawn(id, now);
            out.push(Action::Forget { worker: id });
        }
    }

    /// Forgets a worker that never came to be; whoever was to have it gets another at this time.
    pub(super) fn unspawn(&mut self, id: WorkerId, again: Instant) {
        let place = self.place(id);
        let Some(worker) = self.workers.remove(&id) else { return };
        let Some(seat) = self.seats.get_mut(worker.slot) else { return };
        match place {
            Place::Sitting => seat.sitting = Sitting::Due(again),
            Place::Successor => {
                if let Some(successor) = &mut seat.successor {
                    successor.stage = Stage::Due(again);
                }
            }
            Place::Departed => {}
        }
    }

    fn unanswered(&self, generation: u32) -> Vec<WorkerId> {
        let of = self.workers.iter().filter(|(_, w)| w.pid.is_none() && w.generation == generation);
        of.map(|(&id, _)| id).collect()
    }

    /// Whether the generation's zygote can be asked for a worker now.
    pub(super) fn takes_a_spawn(&self, generation: u32) -> bool {
        self.is_up(generation) && self.unanswered(generation).len() < SPAWNS_AT_ONCE_MAX
    }

    /// When each zygote is overdue: with its hello, its preload, or its answer to a spawn.
    pub(super) fn zygotes_due(&self) -> impl Iterator<Item = (Instant, u32)> + '_ {
        self.zygotes.iter().filter_map(|(&generation, zygote)| {
            let due = match zygote.state {
                State::Starting { since } => Some(since + HANDSHAKE_TIMEOUT),
                State::Preloading { since } => Some(since + self.rules.start_timeout),
                State::Up => {
                    let of = self.workers.values().filter(|w| w.generation == generation);
                    let asked = of.filter(|w| w.pid.is_none()).map(|w| w.since).min();
                    asked.map(|since| since + HANDSHAKE_TIMEOUT)
                }
                State::Absent { .. } | State::Killed { .. } => None,
            };
            Some((due?, generation))
        })
    }

    pub(super) fn zygote_overdue(&mut self, generation: u32, out: &mut Vec<Action>) {
        let state = self.zygotes.get(&generation).map(|zygote| zygote.state);
        let fault = if let Some(State::Preloading { .. }) = state {
            let limit = humantime::format_duration(self.rules.start_timeout);
            format!("preload took longer than {limit} (start_timeout)")
        } else {
            let limit = HANDSHAKE_TIMEOUT.as_secs();
            format!("the zygote did not answer for {limit} s")
        };
        out.push(Action::Warn(format!("{fault}: killed (generation {generation})")));
        self.kill_zygote(generation, Some(fault), out);
    }

    pub(super) fn kill_zygote(
        &mut self,
        generation: u32,
        fault: Option<String>,
        out: &mut Vec<Action>,
    ) {
        let Some(zygote) = self.zygotes.get_mut(&generation) else { return };
        if matches!(zygote.state, State::Killed { .. }) {
            return;
        }
        let Some(was) = zygote.state.was() else { return };
        zygote.state = State::Killed { was };
        zygote.fault = fault;
        out.push(Action::KillZygote { generation });
    }

    pub(super) fn kill_zygotes(&mut self, out: &mut Vec<Action>) {
        for generation in self.zygotes.keys().copied().collect::<Vec<_>>() {
            self.kill_zygote(generation, None, out);
        }
    }

    pub(super) fn no_zygote_lives(&self) -> bool {
        self.zygotes.values().all(|zygote| matches!(zygote.state, State::Absent { .. }))
    }

    /// Whether a worker of this generation may yet be wanted.
    fn is_needed(&self, generation: u32) -> bool {
        let by_seats: BTreeSet<u32> = self.seats.iter().map(|seat| seat.generation).collect();
        let by_successors = self.seats.iter().filter_map(|seat| seat.successor.as_ref());
        generation == self.generation
            || by_seats.contains(&generation)
            || by_successors.into_iter().any(|s| s.generation == generation)
            || self.reload_needs(generation)
    }

    /// Ends the zygotes of generations that nobody needs any more.
    pub(super) fn release_zygotes(&mut self, out: &mut Vec<Action>) {
        // As it is nearly always, and this runs at every step.
        if self.zygotes.len() == 1 && self.zygotes.contains_key(&self.generation) {
            return;
        }
        for generation in self.zygotes.keys().copied().collect::<Vec<_>>() {
            if self.is_needed(generation) {
                continue;
            }
            self.kill_zygote(generation, None, out);
            let state = self.zygotes.get(&generation).map(|zygote| zygote.state);
            if matches!(state, Some(State::Absent { .. })) {
                self.forget_generation(generation, out);
            }
        }
    }

    fn forget_generation(&mut self, generation: u32, out: &mut Vec<Action>) {
        self.zygotes.remove(&generation);
        out.push(Action::DropImage { generation });
    }

    /// A worker died of a fault signal: too often, and the next ones get another address layout.
    pub(super) fn crashed(&mut self, generation: u32, now: Instant, out: &mut Vec<Action>) {
        let Some(zygote) = self.zygotes.get_mut(&generation) else { return };
        zygote.crashes.push_back(now);
        zygote.crashes.retain(|&at| now.duration_since(at) <= CRASH_WINDOW);
        if zygote.crashes.len() >= CRASHES_MAX && zygote.state == State::Up {
            zygote.crashes.clear();
            let (count, window) = (CRASHES_MAX, CRASH_WINDOW.as_secs());
            let fault = format!(
                "renewed: {count} of its workers crashed by a signal within {window} s, and the next \
                 ones are to have another address layout"
            );
            self.kill_zygote(generation, Some(fault), out);
        }
    }
}
