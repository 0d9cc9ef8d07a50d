#[cluster::main]
async fn main() -> Option<u32> {
    None
}
