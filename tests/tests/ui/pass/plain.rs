#[cluster::main]
async fn main() {}
