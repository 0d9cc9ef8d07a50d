use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
struct News {
    #[serde(skip_serializing)]
    text: String,
    #[serde(skip_deserializing)]
    rate: u32,
}

fn main() {}
