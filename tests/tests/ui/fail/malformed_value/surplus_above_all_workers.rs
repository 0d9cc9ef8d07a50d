#[cluster::main(surplus = 513)]
async fn main() {}
