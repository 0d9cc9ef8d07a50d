use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = u32)]
struct News<'a, T> {
    #[serde(borrow)]
    text: &'a str,
    more: T,
}

fn main() {}
