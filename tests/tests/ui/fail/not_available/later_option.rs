#[cluster::main(
    schedule = "sticky",
    services(web = 4, jobs = 2)
)]
async fn main() {}
