#[cluster::main(services(web = 4))]
async fn main() {}
