//! Messages between processes, and forks: a cluster beside bare tokio and Node, row by row, and a table of ratios.
//!
//! ```text
//! cargo bench -p cluster-benches
//! ```
//!
//! The peers of a row take turns, in several rounds, each time as new processes: what else the machine does
//! meanwhile, and where processes happen to be placed, meets all of them. Criterion says how sure each
//! number is; the table at the end compares medians.

mod peer;
mod table;

use std::time::Duration;

use cluster_benches::{Row, Scene};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

use self::{
    peer::{Kind, Peer},
    table::Table,
};

const ROUNDS: usize = 5;

/// Samples of one peer in one round.
const SAMPLES: usize = 10;

/// What is measured.
struct Measured {
    /// For criterion.
    id: &'static str,
    /// In the table.
    title: &'static str,
    row: Row,
    /// How many messages or round trips are one iteration. Many, since what is to be measured is a stream
    /// that flows, not its start and end, and code that the peer's compiler has warmed up to.
    batch: u64,
}

const ROWS: [Measured; 5] = [
    Measured {
        id: "broadcast_small",
        title: "broadcasts of a number, 2 workers",
        row: Row { scene: Scene::Broadcast, workers: 2, bytes: 0 },
        batch: 20_000,
    },
    Measured {
        id: "round_trip_64B",
        title: "round trip of 64 B, worker to master",
        row: Row { scene: Scene::RoundTrip, workers: 1, bytes: 64 },
        batch: 1_000,
    },
    Measured {
        id: "broadcast_1KiB",
        title: "broadcasts of 1 KiB, 4 workers",
        row: Row { scene: Scene::Broadcast, workers: 4, bytes: 1024 },
        batch: 5_000,
    },
    Measured {
        id: "one_way_64KiB",
        title: "messages of 64 KiB, master to worker",
        row: Row { scene: Scene::Broadcast, workers: 1, bytes: 64 * 1024 },
        batch: 500,
    },
    Measured {
        id: "fork",
        title: "fork to the child's first message",
        row: Row { scene: Scene::Fork, workers: 1, bytes: 0 },
        // Each is long, and a process of its own.
        batch: 1,
    },
];

fn main() {
    let kinds = peer::present();
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(SAMPLES)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(700))
        .configure_from_args();
    let measures = measures();
    let mut table = Table::default();
    for round in 1..=if measures { ROUNDS } else { 1 } {
        for measured in &ROWS {
            for &kind in kinds.iter().filter(|kind| kind.plays(measured.row)) {
                let seconds = measure(&mut criterion, measured, kind, round);
                table.add(measured.title, measured.row.scene, kind, &seconds);
            }
        }
    }
    criterion.final_summary();
    if measures {
        table.print();
    }
}

/// Whether numbers are wanted; otherwise criterion has everything done once, to see that it works. It
/// decides so itself, but does not tell.
fn measures() -> bool {
    let asked = |flag| std::env::args().any(|arg| arg == flag);
    asked("--bench") && !asked("--test")
}

/// Lets one peer play one row; the seconds that one message took, in each sample.
fn measure(criterion: &mut Criterion, measured: &Measured, kind: Kind, round: usize) -> Vec<f64> {
    let &Measured { id, row, batch, .. } = measured;
    let mut seconds = Vec::new();
    let mut peer = None;
    let mut group = criterion.benchmark_group(id);
    group.throughput(Throughput::Elements(batch));
    // Every sample is as long, so that a median of samples means something.
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function(BenchmarkId::new(kind.name(), round), |bencher| {
        bencher.iter_custom(|iterations| {
            // Not before: a filter may leave this out.
            let peer = peer.get_or_insert_with(|| Peer::start(kind, row));
            let elapsed = peer.run(iterations * batch);
            seconds.push(elapsed.as_secs_f64() / (iterations * batch) as f64);
            elapsed
        });
    });
    group.finish();
    // What comes before the samples is the warm-up's.
    seconds.split_off(seconds.len().saturating_sub(SAMPLES))
}
