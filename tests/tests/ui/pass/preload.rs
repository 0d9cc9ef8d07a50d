// Not `Sync`, and borrowed for no longer than `main` runs.
struct Model(std::cell::Cell<u32>);

fn load() -> Model {
    Model(std::cell::Cell::new(7))
}

async fn watch(_master: cluster::Master) {}

#[cluster::main(workers = 0, preload = load, master = watch, pin)]
async fn main(model: &Model) {
    assert_eq!(model.0.get(), 7);
}
