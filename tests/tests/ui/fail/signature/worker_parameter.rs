#[cluster::main]
async fn main(_worker: cluster::Worker) {}
