//! Every type of std that a message can have, nested and generic ones, drawn at random, comes back as it was sent.

use std::{
    collections::{BTreeSet, BinaryHeap, LinkedList, VecDeque},
    fmt::Debug,
    net::{SocketAddr, SocketAddrV6},
    time::{Duration, SystemTime},
};

use proptest::{
    collection::{btree_map, hash_map, hash_set, vec},
    prelude::*,
    sample::Index,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    decode,
    office::encode,
    specimen::{
        Chain, Choices, Integers, Lists, NonZeros, Numbers, Places, Ranges, Sets, Texts, Times,
        Tree, Wrapped,
    },
};
use crate::mail::{self, Head, Kind, Place};

/// What a receiver finds in the frame that a sender makes of `value`; and nothing in a part of it.
fn comes_back<T>(value: &T, cut: Index) -> Result<(), TestCaseError>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let (kind, from, to) = (Kind::Message, Place::Master, Place::Everyone);
    let head = Head { kind, from, to, request: 0, fingerprint: 7, generation: 1 };
    let bytes = encode("send", String::new, &head, "News", value).expect("it can be encoded");
    let (frame, total) = mail::decode(&bytes).expect("a frame").expect("all of it");
    prop_assert_eq!((frame.head, total), (head, bytes.len()));
    let again = decode::<T>(frame.payload);
    prop_assert_eq!(again.as_ref(), Ok(value));
    if !frame.payload.is_empty() {
        let part = &frame.payload[..cut.index(frame.payload.len())];
        prop_assert!(decode::<T>(part).is_err(), "{} bytes of {}", part.len(), frame.payload.len());
    }
    let longer = [frame.payload, &[0]].concat();
    prop_assert!(decode::<T>(&longer).is_err(), "with a tail");
    Ok(())
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Leaf),
        any::<i64>().prop_map(Tree::Number),
        any::<(u8, String)>().prop_map(|(number, text)| Tree::Pair(number, text)),
    ];
    leaf.prop_recursive(6, 40, 5, |below| {
        prop_oneof![
            (any::<String>(), vec(below.clone(), 0..5))
                .prop_map(|(text, below)| Tree::Named { text, below }),
            below.prop_map(|tree| Tree::Deeper(Box::new(tree))),
        ]
    })
}

fn chains<T: Debug>(heads: impl Strategy<Value = T>) -> impl Strategy<Value = Chain<T>> {
    vec(heads, 1..6).prop_map(|heads| {
        let chain = |tail, head| Some(Box::new(Chain { head, tail }));
        *heads.into_iter().fold(None, chain).expect("one at least")
    })
}

/// Later than the epoch, before which serde takes no time.
fn times() -> impl Strategy<Value = SystemTime> {
    any::<(u32, u32)>().prop_map(|(seconds, nanos)| {
        SystemTime::UNIX_EPOCH + Duration::new(seconds.into(), nanos % 1_000_000_000)
    })
}

/// Without scope and flow, which serde leaves out.
fn places() -> impl Strategy<Value = Places> {
    any::<Places>().prop_map(|(a, b, c, d, e, f)| {
        let plain = |v6: SocketAddrV6| SocketAddrV6::new(*v6.ip(), v6.port(), 0, 0);
        let d = match d {
            SocketAddr::V6(v6) => plain(v6).into(),
            v4 => v4,
        };
        (a, b, c, d, e, plain(f))
    })
}

/// Without what is not in UTF-8, which serde refuses in a path.
fn texts() -> impl Strategy<Value = Texts> {
    any::<(String, Box<str>, String, std::ffi::CString, std::ffi::OsString, String)>()
        .prop_map(|(a, b, c, d, e, f)| (a, b, c.into(), d, e, f.into()))
}

fn lists() -> impl Strategy<Value = Lists> {
    let texts = vec(any::<String>(), 0..5).prop_map(VecDeque::from);
    let rest = any::<(Vec<u8>, LinkedList<u16>, [u32; 5], Box<[i64]>)>();
    (rest, texts).prop_map(|((a, c, d, e), b)| (a, b, c, d, e))
}

fn sets() -> impl Strategy<Value = Sets> {
    (
        any::<BTreeSet<i16>>(),
        hash_set(any::<String>(), 0..5),
        btree_map(any::<u8>(), trees(), 0..4),
        hash_map(any::<u32>(), vec(any::<u8>(), 0..20), 0..10),
    )
}

fn wrapped() -> impl Strategy<Value = Wrapped> {
    (any::<(u8, Vec<u8>, i32)>(), trees()).prop_map(|((a, b, c), tree)| {
        (a.into(), b.into(), std::cmp::Reverse(c), std::marker::PhantomData, Box::new(tree))
    })
}

fn numbers() -> impl Strategy<Value = Numbers> {
    any::<(bool, char, f32, f64, u16, i32)>()
        .prop_map(|(a, b, c, d, e, f)| (a, b, c, d, std::num::Wrapping(e), std::num::Saturating(f)))
}

macro_rules! come_back {
    ($($name:ident: $ty:ty, $values:expr;)+) => {
        proptest! {
            $(#[test]
            fn $name(value in $values, cut in any::<Index>()) {
                comes_back::<$ty>(&value, cut)?;
            })+
        }
    };
}

come_back! {
    integers: Integers, any::<Integers>();
    other_numbers: Numbers, numbers();
    non_zero_numbers: NonZeros, any::<NonZeros>();
    every_kind_of_text: Texts, texts();
    times_and_durations: Times, (any::<Duration>(), times());
    addresses: Places, places();
    every_kind_of_list: Lists, lists();
    sets_and_maps: Sets, sets();
    options_results_and_bounds: Choices, any::<Choices>();
    ranges: Ranges, any::<Ranges>();
    what_wraps_another_type: Wrapped, wrapped();
    nested_enums: Tree, trees();
    generic_structs: Vec<(Chain<u8>, Chain<Tree>)>,
        vec((chains(any::<u8>()), chains(trees())), 0..3);
}

proptest! {
    #[test]
    fn heaps(value in any::<BinaryHeap<u16>>()) {
        let bytes = postcard::to_stdvec(&value).expect("it can be encoded");
        let again = decode::<BinaryHeap<u16>>(&bytes).expect("what was encoded");
        prop_assert_eq!(again.into_sorted_vec(), value.into_sorted_vec());
    }
}
