#[cluster::main(
    schedule = "sticky",
    services(web = 4, jobs = 2),
    preload = load,
    pin
)]
async fn main() {}

fn load() {}
