//! A message with every type of std that a message can have, for fuzzing and the tests of the round trip.
//!
//! Tuples, so that a value of each part can be drawn as it is.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque},
    ffi::{CString, OsString},
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    num::{NonZero, Saturating, Wrapping},
    ops::{Bound, Range, RangeFrom, RangeInclusive, RangeTo},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::ClusterMessage;

pub(crate) type Integers = (u8, i8, u16, i16, u32, i32, u64, i64, (u128, i128, usize, isize));
pub(crate) type Numbers = (bool, char, f32, f64, Wrapping<u16>, Saturating<i32>);
pub(crate) type NonZeros = (NonZero<u8>, NonZero<i16>, NonZero<u64>, NonZero<i128>, NonZero<usize>);
pub(crate) type Texts = (String, Box<str>, Cow<'static, str>, CString, OsString, PathBuf);
pub(crate) type Times = (Duration, SystemTime);
pub(crate) type Places = (IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6);
pub(crate) type Lists = (Vec<u8>, VecDeque<String>, LinkedList<u16>, [u32; 5], Box<[i64]>);
pub(crate) type Sets = (BTreeSet<i16>, HashSet<String>, BTreeMap<u8, Tree>, HashMap<u32, Vec<u8>>);
pub(crate) type Choices = (Option<u8>, Result<u16, String>, Bound<i8>, Option<Option<()>>);
pub(crate) type Ranges = (Range<u8>, RangeFrom<i16>, RangeInclusive<u32>, RangeTo<i64>);
pub(crate) type Wrapped = (Cell<u8>, RefCell<Vec<u8>>, Reverse<i32>, PhantomData<str>, Box<Tree>);

/// An enum with every form of variant, and with itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ClusterMessage)]
pub(crate) enum Tree {
    Leaf,
    Number(i64),
    Pair(u8, String),
    Named { text: String, below: Vec<Tree> },
    Deeper(Box<Tree>),
}

/// A generic struct, which a parameter makes another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ClusterMessage)]
pub(crate) struct Chain<T> {
    pub(crate) head: T,
    pub(crate) tail: Option<Box<Chain<T>>>,
}

/// All of it.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
#[message(reply = Chain<Tree>)]
pub(crate) enum Specimen {
    Integers(Integers),
    Numbers(Numbers),
    NonZeros(NonZeros),
    Texts(Texts),
    Times(Times),
    Places(Places),
    Lists(Lists),
    Sets(Sets),
    Heap(BinaryHeap<u16>),
    Choices(Choices),
    Ranges(Ranges),
    Wrapped(Wrapped),
    Tree(Tree),
    Chain(Chain<String>),
    Nested(Vec<(Chain<u8>, Tree)>),
}
