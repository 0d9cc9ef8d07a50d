//! The shapes of the std types that serde can both write and read.
//!
//! Names are part of every fingerprint that contains them: a change here makes all builds before
//! it strangers. Invariant: types that serde writes differently have different shapes.

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
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Shape, ShapeNode};

/// Types that nest no other, each under its own name.
macro_rules! single {
    ($($name:ident)+) => {$(
        impl Shape for $name {
            fn shape() -> ShapeNode {
                ShapeNode::of::<Self>(stringify!($name), 0, &[])
            }
        }
    )+};
}

single!(bool char f32 f64 i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);
single!(String CString OsString PathBuf Duration SystemTime);
single!(IpAddr Ipv4Addr Ipv6Addr SocketAddr SocketAddrV4 SocketAddrV6);

impl Shape for () {
    fn shape() -> ShapeNode {
        ShapeNode::of::<Self>("unit", 0, &[])
    }
}

macro_rules! non_zero {
    ($($integer:ident)+) => {$(
        impl Shape for NonZero<$integer> {
            fn shape() -> ShapeNode {
                ShapeNode::of::<Self>("NonZero", 0, &[$integer::shape])
            }
        }
    )+};
}

non_zero!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

/// Types that are told by their name and what they contain.
macro_rules! nesting {
    ($($name:ident<$($inner:ident),+>)+) => {$(
        impl<$($inner: Shape),+> Shape for $name<$($inner),+> {
            fn shape() -> ShapeNode {
                ShapeNode::of::<Self>(stringify!($name), 0, &[$($inner::shape),+])
            }
        }
    )+};
}

nesting!(Option<T> Result<T, E> Bound<T>);
nesting!(Range<T> RangeFrom<T> RangeInclusive<T> RangeTo<T>);
nesting!(Vec<T> VecDeque<T> LinkedList<T> BinaryHeap<T> BTreeSet<T> BTreeMap<K, V>);

// A hasher is not sent: whatever it is, the node is that of the map with std's.
impl<K: Shape, V: Shape, S: 'static> Shape for HashMap<K, V, S> {
    fn shape() -> ShapeNode {
        ShapeNode::of::<HashMap<K, V>>("HashMap", 0, &[K::shape, V::shape])
    }
}

impl<T: Shape, S: 'static> Shape for HashSet<T, S> {
    fn shape() -> ShapeNode {
        ShapeNode::of::<HashSet<T>>("HashSet", 0, &[T::shape])
    }
}

impl<T: Shape, const N: usize> Shape for [T; N] {
    fn shape() -> ShapeNode {
        ShapeNode::of::<Self>("array", N as u64, &[T::shape])
    }
}

// Nothing of `T` is sent, so nothing is asked of it.
impl<T: ?Sized + 'static> Shape for PhantomData<T> {
    fn shape() -> ShapeNode {
        ShapeNode::of::<PhantomData<()>>("PhantomData", 0, &[])
    }
}

/// Types that serde writes as their content, so that a `Box` more or less changes no message.
macro_rules! transparent {
    ($($(($unsized:tt))? $name:ident)+) => {$(
        impl<T: Shape $(+ ?$unsized)?> Shape for $name<T> {
            fn shape() -> ShapeNode {
                T::shape()
            }
        }
    )+};
}

transparent!(Cell RefCell Reverse Saturating Wrapping);
// `Rc` and `Arc` can be sent where a user turns on serde's feature `rc`.
transparent!((Sized) Box (Sized) Rc (Sized) Arc);

impl<T: ?Sized + ToOwned + Shape> Shape for Cow<'static, T> {
    fn shape() -> ShapeNode {
        T::shape()
    }
}

// What has no size is met behind a pointer, and is written as its owner is.
impl Shape for str {
    fn shape() -> ShapeNode {
        String::shape()
    }
}

impl Shape for Path {
    fn shape() -> ShapeNode {
        PathBuf::shape()
    }
}

impl<T: Shape> Shape for [T] {
    fn shape() -> ShapeNode {
        Vec::<T>::shape()
    }
}

macro_rules! tuples {
    ($(($($inner:ident)+))+) => {$(
        impl<$($inner: Shape),+> Shape for ($($inner,)+) {
            fn shape() -> ShapeNode {
                ShapeNode::of::<Self>("tuple", 0, &[$($inner::shape),+])
            }
        }
    )+};
}

// As far as serde goes.
tuples! {
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
    (A B C D E F G)
    (A B C D E F G H)
    (A B C D E F G H I)
    (A B C D E F G H I J)
    (A B C D E F G H I J K)
    (A B C D E F G H I J K L)
    (A B C D E F G H I J K L M)
    (A B C D E F G H I J K L M N)
    (A B C D E F G H I J K L M N O)
    (A B C D E F G H I J K L M N O P)
}
