#[cluster::main(workers = count())]
async fn main() {}

fn count() -> u32 {
    4
}
