struct Model;

fn load() -> Model {
    Model
}

#[cluster::main(preload = load)]
async fn main(_model: Model) {}
