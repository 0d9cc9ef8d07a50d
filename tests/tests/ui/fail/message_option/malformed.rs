use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message]
struct NoOptions;

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply, name = 5, crate = 1 + 1, opaque, = 7, name)]
struct NoValues;

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = "u32", name = "", opaque(1))]
struct WrongValues;

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply =, name = "a" "b" opaque())]
struct Commas;

fn main() {}
