use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(ClusterMessage)]
struct News {
    rate: u32,
}

#[derive(Serialize, Deserialize)]
struct Unused;

fn main() {}
