use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
#[serde(tag = "kind", rename_all = "camelCase")]
enum Internal {
    Left,
}

#[derive(Serialize, Deserialize, ClusterMessage)]
#[serde(tag = "kind", content = "body")]
enum Adjacent {
    Left(u32),
}

fn main() {}
