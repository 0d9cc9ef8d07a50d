struct Model;
struct Mute;

fn load() -> Result<Model, Mute> {
    Err(Mute)
}

#[cluster::main(preload = load)]
async fn main(_model: &Model) {}
