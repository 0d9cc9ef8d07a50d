#[cluster::main(4, "workers" = 4,, respawn)]
async fn main() {}
