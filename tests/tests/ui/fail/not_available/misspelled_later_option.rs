#[cluster::main(shedule = "sticky")]
async fn main() {}
