// What is sent is a message still, beside the mistake.
use cluster::{ClusterMessage, ClusterRequest};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = u32, nmae = "news")]
struct News<T> {
    rate: T,
}

fn request<M: ClusterRequest>(_message: &M) {}

fn main() {
    request(&News { rate: 5 });
}
