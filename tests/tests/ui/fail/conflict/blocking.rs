#[cluster::main(blocking, flavor = "local", hang_timeout = "30s")]
async fn main(role: cluster::Role) {}
