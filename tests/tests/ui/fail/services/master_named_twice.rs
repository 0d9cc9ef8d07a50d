#[cluster::main(master = watch, blocking, services(web = 2))]
async fn main() {}

async fn watch(_master: cluster::Master) {}

async fn web() {}
