#[cluster::main(backoff = "30s..100ms")]
async fn main() {}
