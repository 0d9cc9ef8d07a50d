use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(opaque)]
enum News {
    #[message(opaque)]
    Rate(#[message(reply = u32)] u32),
    Notice {
        #[message(opaque(String))]
        text: String,
    },
}

fn main() {}
