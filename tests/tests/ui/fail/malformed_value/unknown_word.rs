#[cluster::main(respawn = "on_failure", flavor = "threaded")]
async fn main() {}
