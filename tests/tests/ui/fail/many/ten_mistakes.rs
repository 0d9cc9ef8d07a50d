#[cluster::main(
    workrs = 4,
    workers = "four",
    respawn = "sometimes",
    backoff = "30s..1s",
    grace = 25s,
    grace = "1s",
    hang_timeout = "30s",
    worker_threads = 2,
)]
fn main(_port: u16) {}
