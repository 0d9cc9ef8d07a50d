#[cluster::main(
    give_up = 0,
    start_timeout = "0s",
    hang_timeout = "0s",
    surplus = 0,
    backoff = "0s..1s",
    flavor = "multi_thread",
    worker_threads = 0
)]
async fn main() {}
