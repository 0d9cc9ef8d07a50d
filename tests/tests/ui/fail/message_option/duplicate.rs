use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = u32, name = "news", reply = String)]
#[message(name = "other")]
struct News {
    #[message(opaque, opaque)]
    field: u32,
}

fn main() {}
