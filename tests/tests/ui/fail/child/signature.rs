// Every mistake of a child's header at once, each on its own token.
use cluster::process::Parent;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, cluster::ClusterMessage)]
struct Tick;

#[cluster::child]
fn not_async(_parent: Parent<Tick, Tick>) {}

#[cluster::child]
async fn generic<T>(_parent: Parent<T, T>) {}

#[cluster::child]
async fn nothing() {}

#[cluster::child]
async fn too_much(_parent: Parent<Tick, Tick>, _more: u8) {}

#[cluster::child]
const unsafe extern "C" fn four() {}

#[cluster::child(workers = 4)]
async fn an_option(_parent: Parent<Tick, Tick>) {}

#[cluster::child]
async fn never(_parent: Parent<Tick, Tick>) -> ! {
    std::process::exit(0)
}

#[cluster::child]
struct NoFunction;

fn main() {}
