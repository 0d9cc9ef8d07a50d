#[cluster::main(user = "", group = { "www" })]
async fn main() {}
