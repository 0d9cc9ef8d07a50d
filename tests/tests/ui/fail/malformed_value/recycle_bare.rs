#[cluster::main(recycle)]
async fn main() {}
