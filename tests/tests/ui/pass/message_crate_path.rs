use ::cluster as rt;
use serde::{Deserialize, Serialize};

// A module of the crate's own name is what makes the option necessary.
mod cluster {}

#[derive(Serialize, Deserialize, rt::ClusterMessage)]
#[message(crate = rt, reply = ())]
struct Ping;

mod inner {
    pub use ::cluster as rt;
}

#[derive(Serialize, Deserialize, inner::rt::ClusterMessage)]
#[message(crate = "crate::inner::rt", opaque(Foreign))]
struct Page<T>(Vec<T>, Foreign);

#[derive(Serialize, Deserialize)]
struct Foreign;

fn main() {}
