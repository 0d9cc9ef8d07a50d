#[cluster::main(respawn = always, flavor = multi_thread)]
async fn main() {}
