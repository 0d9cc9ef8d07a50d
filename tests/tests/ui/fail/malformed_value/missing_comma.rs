#[cluster::main(workers = 4 respawn, grace = "1s" "2s")]
async fn main() {}
