use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct News;

fn send<M: ClusterMessage>(_message: &M) {}

fn main() {
    send(&News);
    send(&5);
}
