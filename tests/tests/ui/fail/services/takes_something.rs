#[cluster::main(services(web = 4))]
async fn main() {}

async fn web(_port: u16) {}
