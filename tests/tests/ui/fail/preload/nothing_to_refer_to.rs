struct Model;

#[cluster::main]
async fn main(_model: &'static Model) {}
