// What only the compiler can see: the parameter's type, the messages, what is returned.
use cluster::process::Parent;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, cluster::ClusterMessage)]
struct Tick;

#[cluster::child]
async fn no_parent(_number: u32) {}

#[cluster::child]
async fn no_exit_code(_parent: Parent<Tick, Tick>) -> u32 {
    0
}

fn main() {}
