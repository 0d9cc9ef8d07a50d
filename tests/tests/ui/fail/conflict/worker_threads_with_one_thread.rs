#[cluster::main(flavor = "local", worker_threads = 4)]
async fn main() {}
