#[cluster::main(preload = load, services(web = 4))]
async fn main() {}

struct Silent;

fn load() -> Result<u32, Silent> {
    Err(Silent)
}

async fn web(_model: &'static u32) {}
