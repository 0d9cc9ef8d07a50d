//! What each further worker costs: start, memory, CPU with nothing to do, CPU of a connection, a broadcast.

use crate::{
    broadcasts, clients,
    figures::{Figures, Results, rounded},
    peers::{Contestant, OURS, Peer},
    rounds::{Extent, used, used_idle},
    server::Server,
};

/// A server with a number of workers.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) contestant: Contestant,
    pub(crate) start_ms: Figures,
    pub(crate) memory_mib: Option<f64>,
    /// Milliseconds of each second.
    pub(crate) idle_cpu: f64,
    pub(crate) cpu_us: f64,
    pub(crate) rate: f64,
    /// From the master to all workers, of those that have messages.
    pub(crate) broadcast_us: Option<f64>,
}

/// Those whose growth is of interest; and beyond which number of workers it is clear enough.
const GROWING: [(Peer, usize); 5] = [
    (OURS.peer, 64),
    (Peer::Cluster("kernel"), 64),
    (Peer::Cluster("shared"), 64),
    (Peer::Nginx, 64),
    (Peer::Node("rr"), 16),
];

/// How often each is started. The last one is looked at further.
const STARTS: usize = 3;

pub(crate) fn measure(extent: &Extent, results: &mut Results) {
    for &workers in extent.growth {
        for (peer, most) in GROWING {
            if workers <= most
                && results.contestants.iter().any(|contestant| contestant.peer == peer)
            {
                let contestant = Contestant { peer, workers };
                eprintln!("growth: {}, {workers} workers", peer.name());
                results.growth.push(measure_step(contestant, extent));
            }
        }
    }
}

fn measure_step(contestant: Contestant, extent: &Extent) -> Step {
    let mut start_ms = Figures::default();
    let mut start = || {
        let server = Server::start(&contestant);
        start_ms.add(server.start.as_secs_f64() * 1e3);
        server
    };
    for _ in 1..STARTS {
        start();
    }
    let server = start();
    server.settle();
    let memory_mib = server.memory().map(rounded);
    let idle_cpu = rounded(used_idle(&server, extent.idle));
    clients::connect_anew(server.address, extent.warm_up);
    let used = used(&server, || Some(clients::connect_anew(server.address, extent.load)));
    let (load, cpu_us) = used.expect("these clients are always there");
    let rate = rounded(load.requests as f64 / load.elapsed.as_secs_f64());
    drop(server);
    let broadcast_us = broadcasts::measure(&contestant, extent.load).map(rounded);
    let cpu_us = rounded(cpu_us);
    Step { contestant, start_ms, memory_mib, idle_cpu, cpu_us, rate, broadcast_us }
}
