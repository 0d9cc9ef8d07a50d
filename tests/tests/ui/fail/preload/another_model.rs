struct Model;
struct Other;

fn load() -> Model {
    Model
}

#[cluster::main(preload = load)]
async fn main(_model: &'static Other) {}
