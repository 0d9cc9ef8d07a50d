#[cluster::main(recycle = 1000)]
async fn main() {}
