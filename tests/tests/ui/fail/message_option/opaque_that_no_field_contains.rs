use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

mod foreign {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Uuid(u128);
}

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(opaque(other::Uuid, Vec<u8>))]
struct News {
    id: foreign::Uuid,
    bytes: Vec<u16>,
}

fn main() {}
