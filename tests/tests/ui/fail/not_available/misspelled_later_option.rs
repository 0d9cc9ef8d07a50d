#[cluster::main(hang_timout = "30s")]
async fn main() {}
