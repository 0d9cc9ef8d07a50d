#[cluster::main(preload = load)]
async fn main(_model: &u32, _role: &u32) {}

fn load() -> u32 {
    7
}
