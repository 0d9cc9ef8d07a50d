// A function without the attribute would not be found in the other process.
use cluster::process::{self, Parent};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, cluster::ClusterMessage)]
struct Tick;

async fn plain(_parent: Parent<Tick, Tick>) {}

#[cluster::main(workers = 0)]
async fn main() {
    let _ = process::fork(plain).await;
}
