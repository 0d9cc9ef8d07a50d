use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
struct Common {
    id: u32,
}

#[derive(Serialize, Deserialize, ClusterMessage)]
struct News {
    #[serde(flatten)]
    common: Common,
}

fn main() {}
