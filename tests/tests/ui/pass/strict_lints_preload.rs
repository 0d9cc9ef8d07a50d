//! The form with what was preloaded, under the strictest crate's lints.
#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, unused_qualifications, warnings)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]

fn load() -> Result<Vec<u32>, std::io::Error> {
    Ok(vec![7])
}

/// The program.
#[cluster::main(workers = 0, preload = load)]
async fn main(model: &Vec<u32>) -> Result<(), std::io::Error> {
    assert_eq!(*model, [7]);
    std::future::ready(Ok(())).await
}
