use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
#[serde(untagged)]
enum Either {
    Left(u32),
    Right(String),
}

#[derive(Serialize, Deserialize, ClusterMessage)]
enum Rest {
    Left(u32),
    #[serde(untagged)]
    Right(String),
}

fn main() {}
