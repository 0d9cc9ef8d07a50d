#[cluster::main(workers = 4)]
#[cluster::main(respawn)]
async fn main() {}
