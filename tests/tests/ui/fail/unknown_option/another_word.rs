#[cluster::main(num_workers = 4, threads = 2, restart, timeout = "30s", port = 8080)]
async fn main() {}
