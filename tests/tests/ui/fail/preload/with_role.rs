#[cluster::main(preload = load)]
async fn main(_role: cluster::Role) {}

fn load() -> u32 {
    7
}
