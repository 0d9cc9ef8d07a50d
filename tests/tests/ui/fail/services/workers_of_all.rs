#[cluster::main(workers = 4, services(web = 2))]
async fn main() {}

async fn web() {}
