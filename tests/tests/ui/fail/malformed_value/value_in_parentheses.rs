#[cluster::main(workers(4), respawn("always"))]
async fn main() {}
