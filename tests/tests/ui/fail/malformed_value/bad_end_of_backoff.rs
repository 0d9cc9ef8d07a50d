#[cluster::main(backoff = "100ms..=30s")]
async fn main() {}
