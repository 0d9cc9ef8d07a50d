#[cluster::main]
async fn main(_role: cluster::Role) -> Vec<u32> {
    Vec::new()
}
