#[cluster::main(workrs = 4, give_upp = 3, start_time_out = "1s")]
async fn main() {}
