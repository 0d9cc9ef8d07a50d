#[cluster::main(hang_timeout = "50ms")]
async fn main() {}
