use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
enum News {
    Rate(u32),
    #[serde(skip)]
    Here,
    #[serde(skip_deserializing)]
    There,
    Notice(String),
    #[serde(skip)]
    Last,
}

fn main() {}
