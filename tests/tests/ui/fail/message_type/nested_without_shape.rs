use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Article {
    price: u32,
}

#[derive(Serialize, Deserialize, ClusterMessage)]
struct News {
    article: Article,
}

#[derive(Serialize, Deserialize, ClusterMessage)]
struct More {
    articles: Vec<Option<Article>>,
}

fn main() {}
