#[cluster::main(services(web = 2))]
async fn main(_role: cluster::Role) {}

async fn web() {}
