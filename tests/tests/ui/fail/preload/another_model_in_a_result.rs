struct Model;
struct Other;

fn load() -> Result<Model, String> {
    Ok(Model)
}

#[cluster::main(preload = load)]
async fn main(_model: &'static Other) {}
