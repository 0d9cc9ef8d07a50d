#[cluster::main(init = || {}, master = async |_master| {})]
async fn main() {}
