use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(replay = u32)]
struct Misspelled;

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(response = u32, frobnicate(1, 2))]
struct AnotherWord {
    #[message(name = "x")]
    field: u32,
}

fn main() {}
