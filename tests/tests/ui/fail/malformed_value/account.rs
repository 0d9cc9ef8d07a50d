#[cluster::main(user = www, group = 33)]
async fn main() {}
