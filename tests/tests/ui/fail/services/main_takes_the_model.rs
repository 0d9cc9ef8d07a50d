#[cluster::main(preload = load, services(web = 2))]
async fn main(_model: &'static u32) {}

fn load() -> u32 {
    7
}

async fn web() {}
