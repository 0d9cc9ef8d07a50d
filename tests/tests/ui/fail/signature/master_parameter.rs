#[cluster::main]
async fn main(_master: cluster::Master) {}
