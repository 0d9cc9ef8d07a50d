//! Types of other crates, which serde knows and the cluster does not.

use std::collections::{BTreeMap, HashMap};

use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

mod foreign {
    #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
    pub struct Uuid(u128);

    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Date<Zone>(u64, Zone);

    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Utc;
}

use foreign::{Date, Utc, Uuid};

/// A type of one's own may ask something of its parameter.
#[derive(Serialize, Deserialize, ClusterMessage)]
struct Sorted<K: Ord, V>(BTreeMap<K, V>);

#[derive(Serialize, Deserialize, ClusterMessage)]
struct Article(u32);

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(opaque(foreign::Uuid, Date), reply = Article)]
struct Carts {
    all: HashMap<Uuid, (Vec<Article>, [foreign::Uuid; 2])>,
    sorted: Sorted<Uuid, Option<Date<Utc>>>,
    #[message(opaque)]
    zone: Option<Utc>,
}

#[derive(Serialize, Deserialize, ClusterMessage)]
enum Choice {
    One(#[message(opaque)] Uuid),
    Two {
        #[message(opaque)]
        date: Date<Utc>,
    },
}

/// Only one of its instantiations is opaque.
#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(opaque(Date<Utc>))]
struct Dates(Vec<Date<Utc>>);

fn main() {}
