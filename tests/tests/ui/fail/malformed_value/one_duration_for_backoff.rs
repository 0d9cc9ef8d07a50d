#[cluster::main(backoff = "1s")]
async fn main() {}
