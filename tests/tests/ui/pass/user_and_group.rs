// Apart from every other option: with workers, the program would only run where root starts it.
#[cluster::main(workers = 0, user = "www", group = "33")]
async fn main() {}
