#[cluster::main(recycle(connections, age(1), rss =))]
async fn main() {}
