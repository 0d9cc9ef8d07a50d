use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Article;

#[derive(Serialize, Deserialize, ClusterMessage)]
struct Page<T>(Vec<T>);

fn send<M: ClusterMessage>(_message: &M) {}

fn main() {
    send(&Page(vec![Article]));
}
