#[cluster::main(
    workrs = 4,
    workers = "four",
    respawn = "sometimes",
    backoff = "30s..1s",
    grace = 25s,
    grace = "1s",
    schedule = "random",
    worker_threads = 2,
)]
fn main(_port: u16) {}
