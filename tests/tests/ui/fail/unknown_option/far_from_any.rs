#[cluster::main(frobnicate)]
async fn main() {}
