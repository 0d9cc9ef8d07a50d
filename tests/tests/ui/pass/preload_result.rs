mod model {
    pub struct Model(pub u32);

    impl Model {
        pub fn load() -> std::io::Result<Self> {
            Ok(Self(7))
        }
    }
}

use model::Model;

#[cluster::main(preload = Model::load, workers = 0, respawn)]
async fn main(model: &'static Model) -> Result<(), String> {
    let number = tokio::spawn(async { model.0 }).await;
    assert_eq!(number.ok(), Some(7));
    Ok(())
}
