//! What the derive generates must pass the strictest crate's lints, too.
#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, unused_qualifications, warnings)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]

use std::collections::HashMap;
use std::marker::PhantomData;

use cluster::{ClusterMessage, ClusterRequest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// An enum with every form of variant.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
pub enum News {
    /// Of the exchange.
    Rate(u32),
    /// For the log.
    Notice {
        /// What it says.
        text: String,
    },
    /// The last one.
    Closed,
}

/// A request, by a name of its own.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
#[message(reply = Result<u32, String>, name = "shop.stock")]
pub struct StockOf(pub u64);

/// A generic one.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
#[serde(bound = "T: Serialize + DeserializeOwned")]
#[message(reply = Vec<T>)]
pub struct Page<T, Mark, const N: usize>
where
    T: Clone,
{
    /// What is on it.
    pub items: HashMap<String, Vec<T>>,
    /// Recursive.
    pub next: Option<Box<Self>>,
    /// Not sent.
    #[serde(skip)]
    pub mark: PhantomData<Mark>,
}

/// One without anything.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ClusterMessage)]
pub struct Ping;

const fn is_request<M: ClusterRequest>() -> &'static str {
    M::NAME
}

fn main() {
    assert_eq!(News::NAME, concat!(module_path!(), "::News"));
    assert_eq!(is_request::<StockOf>(), "shop.stock");
    assert!(is_request::<Page<u8, std::thread::Thread, 3>>().ends_with("::Page"));
    assert!(Ping::NAME.ends_with("::Ping"));
}
