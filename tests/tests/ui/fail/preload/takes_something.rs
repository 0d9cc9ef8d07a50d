struct Model;

fn load(_path: &str) -> Model {
    Model
}

#[cluster::main(preload = load)]
async fn main(_model: &Model) {}
