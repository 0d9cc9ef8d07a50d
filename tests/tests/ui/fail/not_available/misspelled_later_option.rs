#[cluster::main(servises(web = 4))]
async fn main() {}
