#[cluster::main(recycle(jitter = 0.5))]
async fn main() {}
