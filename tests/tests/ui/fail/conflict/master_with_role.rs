#[cluster::main(master = watch)]
async fn main(_role: cluster::Role) {}

async fn watch(_master: cluster::Master) {}
