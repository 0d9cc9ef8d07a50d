#[cluster::main(workers = 0, services(web = 2))]
async fn main() {}

async fn web() {}
