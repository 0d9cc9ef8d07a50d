#[cluster::main(workers, grace =, backoff = , master)]
async fn main() {}
