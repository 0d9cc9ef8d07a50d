#[cluster::main(grace = "1000y")]
async fn main() {}
