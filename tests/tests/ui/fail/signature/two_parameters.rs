#[cluster::main]
async fn main(_role: cluster::Role, _args: Vec<String>) {}
