#[cluster::main(preload = "load", pin = true)]
async fn main() {}
