#[cluster::main(grace = 250ms, stop_delay = std::time::Duration::ZERO)]
async fn main() {}
