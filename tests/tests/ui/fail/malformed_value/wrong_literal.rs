#[cluster::main(
    workers = "4",
    respawn = true,
    give_up = -1,
    grace = 25,
    flavor = 'm',
    init = "setup",
    master = 1,
    crate = 5
)]
async fn main() {}

fn setup() {}
