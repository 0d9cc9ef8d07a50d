#[cluster::main(workers = "four")]
async fn main() {}
