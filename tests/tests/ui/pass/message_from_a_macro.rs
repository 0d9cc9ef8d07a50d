//! Names, types and options that come through `macro_rules` variables.

use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

macro_rules! message {
    ($name:ident, $ty:ty, $reply:ty, $text:literal) => {
        #[derive(Serialize, Deserialize, ClusterMessage)]
        #[message(reply = $reply, name = $text)]
        struct $name {
            field: $ty,
            list: Vec<$ty>,
        }
    };
}

message!(News, Option<u32>, Result<(), String>, "shop.news");

fn main() {
    assert_eq!(News::NAME, "shop.news");
}
