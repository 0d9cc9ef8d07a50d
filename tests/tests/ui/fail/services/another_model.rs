#[cluster::main(preload = load, services(web = 4))]
async fn main() {}

fn load() -> String {
    String::new()
}

async fn web(_model: &'static u32) {}
