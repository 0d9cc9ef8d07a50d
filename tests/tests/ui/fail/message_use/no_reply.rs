use cluster::{ClusterMessage, ClusterRequest};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
struct News;

fn request<M: ClusterRequest>(_message: &M) {}

fn main() {
    request(&News);
}
