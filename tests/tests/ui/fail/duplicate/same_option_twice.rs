#[cluster::main(workers = 4, respawn, workers = "x", respawn = "never")]
async fn main() {}
