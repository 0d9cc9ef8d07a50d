#[cluster::main(
    hang_timeout = "30s",
    recycle(connections = 1000, age = "1h"),
    schedule = "sticky",
    services(web = 4, jobs = 2),
    preload = load,
    user = "www",
    group = "www",
    pin
)]
async fn main() {}

fn load() {}
