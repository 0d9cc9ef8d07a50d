use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
enum News {
    Rate(u32),
    #[serde(other)]
    Unknown,
}

fn main() {}
