//! The form with what was preloaded, under the strictest crate's lints.
#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, unused_qualifications, warnings)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]

struct Model {
    bytes: Vec<u8>,
}

fn load() -> Result<Model, std::io::Error> {
    Ok(Model { bytes: std::fs::read("/proc/self/comm")? })
}

/// The program.
#[cluster::main(workers = 0, preload = load)]
async fn main(model: &Model) -> Result<(), std::io::Error> {
    assert!(!model.bytes.is_empty());
    std::future::ready(Ok(())).await
}
