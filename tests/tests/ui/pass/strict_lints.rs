//! Generated code is nobody's fault but ours: it must pass the strictest crate's lints.
#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, unused_qualifications, warnings)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]

/// The master's branch.
async fn watch(_master: cluster::Master) -> Result<(), std::io::Error> {
    std::future::ready(Ok(())).await
}

const fn setup() {}

const fn load() -> u32 {
    7
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// The program.
#[cluster::main(
    workers = cores(),
    respawn = "never",
    backoff = "1234567ns..30s",
    give_up = 123456,
    grace = "1000000s",
    stop_delay = "3s",
    start_timeout = "60s",
    hang_timeout = "3000000s",
    recycle(connections = 1234567, rss = "1234567B", jitter = 1),
    surplus = 512,
    flavor = "multi_thread",
    worker_threads = 3,
    pin,
    init = setup,
    master = watch,
    preload = load
)]
async fn main() -> std::io::Result<()> {
    std::future::ready(Ok(())).await
}
