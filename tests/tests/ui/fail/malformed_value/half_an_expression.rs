#[cluster::main(workers = 4 +, grace = "1s")]
async fn main() {}
