#[cluster::main(recycle(connections = "many", age = "0s", rss = 512MiB, jitter = "10%"))]
async fn main() {}
