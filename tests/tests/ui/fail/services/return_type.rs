#[cluster::main(services(web = 4))]
async fn main() {}

async fn web() -> u32 {
    7
}
