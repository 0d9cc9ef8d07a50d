#[cluster::main(grace = "soon", stop_delay = "-5s", start_timeout = "25")]
async fn main() {}
