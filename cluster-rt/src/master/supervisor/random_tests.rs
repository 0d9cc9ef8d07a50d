//! Properties of the supervisor over random histories: it is total, it settles, it always stops.
//!
//! After a history of any inputs whatever, a small world of obedient processes answers what the
//! supervisor asks; then everything has to be as ordered.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    Action, Input, OrderId, Signs, Supervisor,
    record::{Place, Sitting, Stage, Worker},
    tests::{Bench, code, signal},
};
use crate::{
    config::{Config, Recycle, Respawn, ServiceConfig},
    endpoint::Endpoint,
    event::WorkerState,
    id::{ListenerId, WorkerId},
};

/// A small generator with a seed: the same run every time.
struct Random(u64);

impl Random {
    fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}

/// How many histories; `CLUSTER_TEST_RUNS` for more.
fn runs() -> u64 {
    std::env::var("CLUSTER_TEST_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(400)
}

/// Any input at all, about workers that live, lived, or never were.
fn any_input(random: &mut Random, orders: &mut u64) -> Input {
    let worker = WorkerId(random.below(16));
    let listener = ListenerId(random.below(2) as u32);
    let generation = 1 + random.below(4) as u32;
    let mut order = || {
        *orders += 1;
        OrderId(*orders)
    };
    match random.below(27) {
        0 | 1 => Input::ZygoteUp { generation },
        2 if random.below(4) == 0 => Input::ZygoteNotStarted { generation, reason: String::new() },
        2 => Input::ZygoteExited { generation, reason: String::new() },
        3 | 4 => Input::Spawned { worker, pid: 1 },
        5 => Input::SpawnFailed { worker, errno: 11 },
        6 => Input::Greeted { worker },
        7 | 8 => Input::Online { worker },
        9 => Input::Bound { worker, listener, addr: Endpoint::Tcp(([127, 0, 0, 1], 1).into()) },
        10..=12 => Input::Accepting { worker, listener },
        13 => Input::Unlistened { worker, listener },
        14 => Input::SaidReady { worker },
        15 => Input::StopAsked { worker },
        16 => Input::MainEnded { worker, code: 1, panicked: false },
        17 => Input::LinkClosed { worker },
        18 => Input::Misbehaved { worker, what: String::new() },
        19 => Input::Reaped { worker, status: code(random.below(3) as i32), lost: 0 },
        20 => Input::Reaped { worker, status: signal(random.below(15) as i32 + 1), lost: 0 },
        21 => Input::Looked { signs: vec![any_signs(random, worker)] },
        22 => Input::Reload { order: order() },
        23 => {
            let service = [None, Some("web"), Some("jobs")][random.below(3) as usize];
            let (service, target) = (service.map(str::to_owned), random.below(5) as usize);
            Input::Scale { order: order(), service, target }
        }
        24 => Input::Respawn { order: order(), slot: random.below(4) as usize },
        25 => Input::ZygotePreloading { generation },
        _ => Input::Tick,
    }
}

fn any_signs(random: &mut Random, worker: WorkerId) -> Signs {
    Signs {
        worker,
        beat: random.below(3),
        starved: Duration::from_millis(random.below(500)),
        connections: random.below(2000),
        rss: random.below(1 << 30),
    }
}

fn bench(random: &mut Random) -> Bench {
    let recycle = Recycle::new().connections(1000).age(Duration::from_secs(20)).rss(1 << 29);
    let (hangs, recycles) = (random.below(2) == 0, random.below(2) == 0);
    let surplus = 1 + random.below(2) as usize;
    let mut rules = Config { respawn: Respawn::Always, surplus, ..Config::default() };
    rules.hang_timeout = hangs.then_some(Duration::from_secs(4));
    if recycles {
        rules.recycle = recycle;
    }
    let services = services(random, &rules);
    Bench::of(services, rules)
}

/// One without a name, or two, of which one may wait for the other, or be one to do without.
fn services(random: &mut Random, rules: &Config) -> Vec<ServiceConfig> {
    let only = ServiceConfig::only(rules.clone(), 1 + random.below(3) as usize);
    if random.below(2) == 0 {
        return vec![only];
    }
    let mut two = [("web", 1), ("jobs", 0)].map(|(name, other)| {
        let workers = 1 + random.below(2) as usize;
        let (optional, waits) = (random.below(2) == 0, random.below(2) == 0);
        let after = if waits { vec![other] } else { Vec::new() };
        ServiceConfig { name: Some(name), workers, optional, after, ..only.clone() }
    });
    if !two[0].after.is_empty() {
        two[1].after.clear();
    }
    two.to_vec()
}

/// What has to hold after every step.
fn check(supervisor: &Supervisor, seed: u64) {
    for (slot, seat) in supervisor.seats.numbered() {
        let own = |w: &Worker| (w.slot, w.service) == (slot, seat.service);
        let lives = |id: WorkerId| supervisor.workers.get(&id).is_some_and(own);
        if let Sitting::Taken(id) = seat.sitting {
            assert!(lives(id), "seed {seed}: nobody sits in {slot}");
        }
        if let Some(Stage::Starting(id)) = seat.successor.as_ref().map(|s| s.stage) {
            assert!(lives(id) && seat.sitting != Sitting::Taken(id), "seed {seed}: slot {slot}");
        }
    }
    // Two workers in a slot are one and its replacement; all others are on their way out.
    for (&id, worker) in &supervisor.workers {
        let leaves =
            worker.drain_until.is_some() || worker.killed.is_some() || worker.pid.is_none();
        let departed = supervisor.place(id) == Place::Departed;
        assert!(!departed || leaves, "seed {seed}: {id} is nobody's and stays");
    }
    let sitting = supervisor.seats.iter().filter(|s| s.successor.is_some()).count();
    assert!(sitting <= supervisor.rules.surplus, "seed {seed}: {sitting} successors");
}

/// Obedient processes: what the supervisor asks for comes to be. One step for each action.
fn obey(bench: &mut Bench, action: &Action, beat: u64) {
    match action {
        Action::ExecZygote { generation } => {
            bench.feed(Input::ZygoteUp { generation: *generation });
        }
        Action::KillZygote { generation } => {
            let reason = "SIGKILL".to_owned();
            bench.feed(Input::ZygoteExited { generation: *generation, reason });
        }
        Action::Spawn { worker, .. } => {
            bench.online(*worker);
            for listener in [ListenerId(0), ListenerId(1)] {
                let addr = Endpoint::Tcp(([127, 0, 0, 1], 1).into());
                bench.feed(Input::Bound { worker: *worker, listener, addr });
            }
            for listener in [ListenerId(0), ListenerId(1)] {
                bench.feed(Input::Accepting { worker: *worker, listener });
            }
        }
        Action::Drain { worker } => drop(bench.exit(*worker, code(0))),
        Action::Kill { worker } => drop(bench.exit(*worker, signal(9))),
        Action::Abort { worker } => drop(bench.exit(*worker, signal(6))),
        Action::CloseListeners => drop(bench.feed(Input::ListenersClosed)),
        Action::Look => {
            let signs = bench.supervisor.workers().map(|known| Signs {
                worker: known.worker,
                beat,
                starved: Duration::ZERO,
                connections: 0,
                rss: 0,
            });
            let signs = signs.collect();
            bench.feed(Input::Looked { signs });
        }
        _ => {}
    }
}

/// Lets time pass in an obedient world, from the action number `from` on.
fn settle(bench: &mut Bench, from: usize, time: Duration, seed: u64) -> usize {
    let until = bench.now + time;
    let (mut at, mut beat) = (from, 100);
    loop {
        while at < bench.done.len() {
            let action = bench.done[at].clone();
            at += 1;
            beat += 1;
            obey(bench, &action, beat);
            check(&bench.supervisor, seed);
        }
        match bench.supervisor.next_deadline().filter(|&next| next <= until) {
            Some(next) => bench.now = bench.now.max(next),
            None => return at,
        }
        bench.feed(Input::Tick);
    }
}

fn answered_once(bench: &Bench, orders: u64, seed: u64) {
    let mut answered = BTreeSet::new();
    for action in &bench.done {
        if let Action::Answer { order, .. } = action {
            assert!(answered.insert(order.0), "seed {seed}: {order:?} is answered twice");
        }
    }
    let expected: BTreeSet<u64> = (1..=orders).collect();
    assert_eq!(answered, expected, "seed {seed}: every order is answered");
}

/// After any history the cluster is whole again as soon as processes do as they are told, unless it
/// has given up; and nothing that was ordered is forgotten.
#[test]
fn it_settles_with_every_slot_served_by_one_generation() {
    for seed in 1..=runs() {
        let mut random = Random::of(seed);
        let mut bench = bench(&mut random);
        let mut orders = 0;
        for _ in 0..random.below(80) {
            bench.now += Duration::from_millis(random.below(700));
            let input = any_input(&mut random, &mut orders);
            bench.feed(input);
            check(&bench.supervisor, seed);
        }
        let end = settle(&mut bench, 0, Duration::from_secs(300), seed);
        let gave_up = bench.supervisor.services.iter().any(|service| service.gave_up);
        if bench.supervisor.is_stopping() || gave_up {
            continue;
        }
        // Recycling by age never ends; what is under way does.
        for service in &mut bench.supervisor.services {
            service.given.rules.recycle = Recycle::new();
        }
        settle(&mut bench, end, Duration::from_secs(120), seed);
        let supervisor = &bench.supervisor;
        let known: Vec<_> = supervisor.workers().collect();
        assert_eq!(known.len(), supervisor.target(), "seed {seed}: {known:#?}");
        let generation = supervisor.generation();
        for known in known {
            assert!(supervisor.sits(known.worker), "seed {seed}: {known:?}");
            assert_eq!(known.state, WorkerState::Ready, "seed {seed}: {known:?}");
            assert_eq!(known.generation, generation, "seed {seed}: {known:?}");
        }
        let zygotes: Vec<u32> = supervisor.zygotes.keys().copied().collect();
        assert_eq!(zygotes, [generation], "seed {seed}");
        answered_once(&bench, orders, seed);
    }
}

/// After any history whatever, a stop ends the cluster, once, and answers everybody.
#[test]
fn stop_always_gets_through() {
    for seed in 1..=runs() {
        let mut random = Random::of(seed);
        let mut bench = bench(&mut random);
        let mut orders = 0;
        for _ in 0..random.below(80) {
            bench.now += Duration::from_millis(random.below(700));
            let input = any_input(&mut random, &mut orders);
            bench.feed(input);
        }
        bench.feed(Input::Stop { code: 0 });
        settle(&mut bench, 0, Duration::from_secs(120), seed);
        let ends = bench.done.iter().filter(|a| matches!(a, Action::End { .. })).count();
        assert_eq!(ends, 1, "seed {seed}: {:#?}", bench.supervisor);
        answered_once(&bench, orders, seed);
    }
}

/// The same inputs at the same times give the same actions (invariant 13).
#[test]
fn a_recorded_run_replays() {
    let run = |start: Instant| {
        let mut random = Random::of(42);
        let rules = Config::default();
        let services = services(&mut random, &rules);
        let mut supervisor = Supervisor::new(rules, services, 1, start);
        let (mut now, mut orders) = (start, 0);
        let mut actions = supervisor.step(Input::Start, now);
        for _ in 0..500 {
            now += Duration::from_millis(random.below(300));
            actions.extend(supervisor.step(any_input(&mut random, &mut orders), now));
        }
        actions
    };
    let start = Instant::now();
    assert_eq!(run(start), run(start));
}
