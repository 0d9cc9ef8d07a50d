//! What one server goes through in one round.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    clients::{self, Load},
    figures::Results,
    measures::Measure,
    peers::Contestant,
    server::Server,
};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) rounds: usize,
    /// Before what is measured: code that is compiled while it runs, caches, queues.
    pub(crate) warm_up: Duration,
    /// Of new connections.
    pub(crate) load: Duration,
    /// Of kept connections, for wrk.
    pub(crate) kept_seconds: u64,
    /// How often a worker is killed in a round.
    pub(crate) kills: usize,
    /// Numbers of workers of which the cost of each is told.
    pub(crate) growth: &'static [usize],
    /// How long a server does nothing while its CPU is measured.
    pub(crate) idle: Duration,
}

impl Extent {
    pub(crate) const QUICK: Self = Self {
        rounds: 2,
        warm_up: Duration::from_millis(200),
        load: Duration::from_millis(500),
        kept_seconds: 1,
        kills: 2,
        growth: &[1, 4, 16],
        idle: Duration::from_millis(500),
    };
    pub(crate) const FULL: Self = Self {
        // Many short ones: what else the machine does comes and goes.
        rounds: 9,
        warm_up: Duration::from_millis(500),
        load: Duration::from_secs(1),
        kept_seconds: 1,
        kills: 3,
        growth: &[1, 2, 4, 8, 16, 64],
        idle: Duration::from_secs(2),
    };
}

/// Measures one server once.
pub(crate) fn measure(contestant: &Contestant, extent: &Extent, results: &mut Results) {
    let server = Server::start(contestant);
    results.add(contestant, Measure::Start, server.start.as_secs_f64() * 1e3);
    let memory =
        [(Measure::IdleMemory, server.memory()), (Measure::WorkerMemory, server.workers_memory())];
    for (measure, value) in memory {
        if let Some(value) = value {
            results.add(contestant, measure, value);
        }
    }
    clients::connect_anew(server.address, extent.warm_up);
    let new = used(&server, || Some(clients::connect_anew(server.address, extent.load)));
    add(contestant, results, new, NEW);
    // wrk and its many requests are warm soon.
    let kept = thread::scope(|scope| {
        let memory = scope.spawn(|| {
            thread::sleep(Duration::from_secs(extent.kept_seconds) / 2);
            server.memory()
        });
        let kept = used(&server, || clients::keep_alive(server.address, extent.kept_seconds));
        if let Some(memory) = memory.join().expect("no panic") {
            results.add(contestant, Measure::LoadedMemory, memory);
        }
        kept
    });
    add(contestant, results, kept, KEPT);
    drop(server);
    if contestant.peer.respawns() {
        kill(&Contestant { workers: 1, ..*contestant }, contestant, extent, results);
    }
}

/// Starts it with one worker, which is killed again and again.
fn kill(alone: &Contestant, counted_for: &Contestant, extent: &Extent, results: &mut Results) {
    let server = Server::start(alone);
    for _ in 0..extent.kills {
        let elapsed = server.kill_worker();
        results.add(counted_for, Measure::Kill, elapsed.as_secs_f64() * 1e3);
    }
}

/// What clients saw, and the CPU that the server used for it, of each request in microseconds.
pub(crate) fn used(server: &Server, load: impl FnOnce() -> Option<Load>) -> Option<(Load, f64)> {
    let before = server.cpu();
    let load = load()?;
    let used = server.cpu().saturating_sub(before);
    Some((load, used.as_secs_f64() * 1e6 / load.requests as f64))
}

/// How much CPU a server uses that has nothing to do, in milliseconds of each second.
pub(crate) fn used_idle(server: &Server, duration: Duration) -> f64 {
    let (before, begun) = (server.cpu(), Instant::now());
    thread::sleep(duration);
    let used = server.cpu().saturating_sub(before);
    used.as_secs_f64() * 1e3 / begun.elapsed().as_secs_f64()
}

const NEW: [Measure; 5] =
    [Measure::NewRate, Measure::NewCpu, Measure::NewP50, Measure::NewP99, Measure::NewP999];
const KEPT: [Measure; 5] =
    [Measure::KeptRate, Measure::KeptCpu, Measure::KeptP50, Measure::KeptP99, Measure::KeptP999];

fn add(
    contestant: &Contestant,
    results: &mut Results,
    load: Option<(Load, f64)>,
    measures: [Measure; 5],
) {
    let Some((load, cpu)) = load else { return };
    let rate = load.requests as f64 / load.elapsed.as_secs_f64();
    for (measure, value) in measures.into_iter().zip([rate, cpu, load.p50, load.p99, load.p999]) {
        results.add(contestant, measure, value);
    }
}
