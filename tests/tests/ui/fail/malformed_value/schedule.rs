#[cluster::main(schedule = sticky, blocking = true, pin(1))]
async fn main() {}
