struct Mute;

fn load() -> Result<(), Mute> {
    Err(Mute)
}

#[cluster::main(preload = load)]
async fn main() {}
