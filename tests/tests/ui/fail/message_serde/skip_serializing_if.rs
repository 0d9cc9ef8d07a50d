use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
struct News {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    rate: u32,
}

fn main() {}
