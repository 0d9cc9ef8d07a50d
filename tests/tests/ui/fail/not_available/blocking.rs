#[cluster::main(blocking)]
fn main() {}
