#[cluster::main(
    watchdog = "30s",
    max_requests = 1000,
    max_age = "1h",
    max_memory_restart = "1G",
    jitter = 0.1,
    max_surge = 1,
    run_as = "www",
    gid = 33,
)]
async fn main() {}
