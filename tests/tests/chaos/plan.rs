//! The plan of faults: what happens after which pause, and in what cluster. A function of the seed alone.
//!
//! Knows no process. A victim is a number, from which whoever acts picks one of those that live then.

use std::time::Duration;

/// Random numbers of which the seed decides everything: SplitMix64.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// What a program does that is deployed for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newcomer {
    Good,
    Missing,
    NotExecutable,
    NoProgram,
    /// Another program, which does as the word says.
    Imposter(&'static str),
    /// Ours, which begins as the word says.
    Bad(&'static str),
}

/// What clients do that are no friends of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowd {
    /// Ask byte by byte.
    Slow,
    /// Ask, and read the answer much later.
    Late,
    /// Connect, and ask nothing.
    Silent,
    /// Ask half, and reset the connection.
    Rude,
}

/// One thing that goes wrong, or that an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill(u64),
    KillAll,
    /// TERM to one worker: it is drained and replaced.
    Drain(u64),
    Freeze(u64, Duration),
    FreezeMaster(Duration),
    FreezeZygote(Duration),
    KillZygote,
    /// The master may open no more descriptors than it has.
    Starve(Duration),
    /// A request of this path from the client of this number.
    Provoke(&'static str, u64),
    Crowd(Crowd, u64),
    Reload(Newcomer),
    More,
    Less,
}

/// The cluster that a seed is about, and what happens to it, without end.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) schedule: &'static str,
    pub(super) workers: u64,
    dice: Dice,
    /// How many workers more than at first were ordered.
    more: i64,
}

const SCHEDULES: [&str; 5] = ["round-robin", "least-connections", "sticky", "shared", "kernel"];
const PROVOCATIONS: [&str; 7] = [
    "/spin",
    "/quit",
    "/hoard/96",
    "/descriptors/300",
    "/descriptors/1500",
    "/storm/300",
    "/storm/3000",
];
const NEWCOMERS: [Newcomer; 10] = [
    Newcomer::Good,
    Newcomer::Good,
    Newcomer::Missing,
    Newcomer::NotExecutable,
    Newcomer::NoProgram,
    Newcomer::Imposter("quits"),
    Newcomer::Imposter("stranger"),
    Newcomer::Bad("crash"),
    Newcomer::Bad("hang"),
    Newcomer::Bad("die-late"),
];
/// The most workers more, or fewer, than at first.
pub(super) const MORE_MAX: i64 = 2;
/// The longest pause between two faults.
const PAUSE_MAX: Duration = Duration::from_millis(1_200);

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        // Neighbours among seeds differ in the schedule.
        let schedule = SCHEDULES[(seed % SCHEDULES.len() as u64) as usize];
        let workers = 3 + dice.below(3);
        Self { seed, schedule, workers, dice, more: 0 }
    }

    fn fault(&mut self) -> Fault {
        let dice = &mut self.dice;
        let ms = Duration::from_millis;
        match dice.below(27) {
            0..=4 => Fault::Kill(dice.roll()),
            5 => Fault::KillAll,
            24..=25 => Fault::Drain(dice.roll()),
            26 => Fault::Starve(ms(50 + dice.below(1_500))),
            6..=8 => Fault::Freeze(dice.roll(), ms(50 + dice.below(2_500))),
            9 => Fault::FreezeMaster(ms(20 + dice.below(700))),
            10 => Fault::FreezeZygote(ms(50 + dice.below(2_000))),
            11 => Fault::KillZygote,
            12..=15 => Fault::Provoke(dice.one_of(&PROVOCATIONS), dice.roll()),
            16..=18 => {
                let crowd = dice.one_of(&[Crowd::Slow, Crowd::Late, Crowd::Silent, Crowd::Rude]);
                Fault::Crowd(crowd, 1 + dice.below(40))
            }
            19..=21 => Fault::Reload(dice.one_of(&NEWCOMERS)),
            22 if self.more < MORE_MAX => {
                self.more += 1;
                Fault::More
            }
            _ if self.more > -MORE_MAX => {
                self.more -= 1;
                Fault::Less
            }
            _ => Fault::Kill(dice.roll()),
        }
    }
}

/// The next fault, and the pause before it.
impl Iterator for Plan {
    type Item = (Duration, Fault);

    fn next(&mut self) -> Option<Self::Item> {
        // Most faults meet those before; some find a cluster that has settled.
        let most = if self.dice.below(3) == 0 { PAUSE_MAX.as_millis() as u64 } else { 200 };
        let pause = Duration::from_millis(self.dice.below(most));
        Some((pause, self.fault()))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, mem::discriminant};

    use super::*;

    #[test]
    fn a_seed_has_one_plan_and_another_seed_another() {
        let faults = |seed| Plan::of(seed).take(200).collect::<Vec<_>>();
        assert_eq!(faults(7), faults(7));
        assert_ne!(faults(7), faults(8));
    }

    #[test]
    fn every_fault_every_schedule_and_every_newcomer_has_its_turn() {
        let faults: Vec<Fault> = Plan::of(1).take(3_000).map(|(_, fault)| fault).collect();
        let kinds: Vec<_> = faults.iter().map(discriminant).collect();
        let different = kinds.iter().enumerate().filter(|(at, kind)| !kinds[..*at].contains(kind));
        assert_eq!(different.count(), 13);
        for newcomer in NEWCOMERS {
            assert!(faults.contains(&Fault::Reload(newcomer)), "{newcomer:?}");
        }
        let schedules: BTreeSet<_> = (1..=5).map(|seed| Plan::of(seed).schedule).collect();
        assert_eq!(schedules.len(), SCHEDULES.len());
    }

    #[test]
    fn workers_are_never_too_few_or_too_many_and_pauses_are_short() {
        for seed in 0..20 {
            let plan = Plan::of(seed);
            let mut workers = plan.workers as i64;
            for (pause, fault) in plan.take(1_000) {
                match fault {
                    Fault::More => workers += 1,
                    Fault::Less => workers -= 1,
                    _ => {}
                }
                assert!((1..=7).contains(&workers), "{workers} workers by seed {seed}");
                assert!(pause < PAUSE_MAX);
            }
        }
    }
}
