use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(ClusterMessage)]
union Bits {
    whole: u32,
    parts: [u8; 4],
}

#[derive(Serialize, Deserialize)]
struct Unused;

fn main() {}
