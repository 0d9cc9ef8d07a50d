//! Which changes of a type change its fingerprint, and which do not.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    hash::BuildHasherDefault,
    marker::PhantomData,
    num::Wrapping,
    rc::Rc,
};

use serde::{Deserialize, Serialize};

use super::{ClusterReply, ClusterRequest, shape::fingerprint};
use crate::ClusterMessage;

/// Declares messages of one name, each in a module of its own.
macro_rules! versions {
    ($($module:ident { $($item:item)+ })+) => {$(
        #[allow(dead_code, unused_imports, unreachable_pub, reason = "only the layout counts")]
        mod $module {
            use std::collections::{self, BTreeMap, HashMap};

            use serde::{Deserialize, Serialize};

            use super::foreign::{self, Date, Uuid};
            use crate::ClusterMessage;

            $(#[derive(Serialize, Deserialize, ClusterMessage)] $item)+
        }
    )+};
}

/// Asserts that the fingerprints of all given types differ from each other.
macro_rules! assert_all_differ {
    ($($ty:ty),+ $(,)?) => {
        let all = [$((stringify!($ty), fingerprint::<$ty>())),+];
        for (at, (name, value)) in all.iter().enumerate() {
            for (other, other_value) in &all[..at] {
                assert_ne!(value, other_value, "{name} and {other}");
            }
        }
    };
}

versions! {
    base { pub struct News { rate: u32, text: String } }
    field_renamed { pub struct News { speed: u32, text: String } }
    fields_reordered { pub struct News { text: String, rate: u32 } }
    field_type { pub struct News { rate: u64, text: String } }
    field_types_swapped { pub struct News { rate: String, text: u32 } }
    field_added { pub struct News { rate: u32, text: String, more: bool } }
    field_skipped { pub struct News { rate: u32, #[serde(skip)] text: String } }
    field_opaque { pub struct News { rate: u32, #[message(opaque)] text: String } }
    field_with { pub struct News { #[serde(alias = "speed")] rate: u32, text: String } }
    renamed { pub struct Note { rate: u32, text: String } }
    tuple { pub struct News(u32, String); }
    unit { pub struct News; }
    an_enum { pub enum News { News { rate: u32, text: String } } }
}

#[test]
fn every_change_of_a_struct_is_another_fingerprint() {
    assert_all_differ!(
        base::News,
        field_renamed::News,
        fields_reordered::News,
        field_type::News,
        field_types_swapped::News,
        field_added::News,
        field_skipped::News,
        field_opaque::News,
        field_with::News,
        renamed::Note,
        tuple::News,
        unit::News,
        an_enum::News,
    );
}

versions! {
    variants { pub enum News { Rate(u32), Notice { text: String }, Stop } }
    variant_renamed { pub enum News { Speed(u32), Notice { text: String }, Stop } }
    variants_reordered { pub enum News { Notice { text: String }, Rate(u32), Stop } }
    variant_type { pub enum News { Rate(i32), Notice { text: String }, Stop } }
    variant_form { pub enum News { Rate(u32), Notice(String), Stop } }
    variant_added { pub enum News { Rate(u32), Notice { text: String }, Stop, Go } }
    variant_skipped { pub enum News { Rate(u32), Notice { text: String }, #[serde(skip)] Stop } }
}

#[test]
fn every_change_of_an_enum_is_another_fingerprint() {
    assert_all_differ!(
        variants::News,
        variant_renamed::News,
        variants_reordered::News,
        variant_type::News,
        variant_form::News,
        variant_added::News,
        variant_skipped::News,
    );
}

versions! {
    nested_before {
        pub struct Article { price: u32 }
        pub struct News { all: HashMap<String, Vec<Option<Article>>> }
    }
    nested_after {
        pub struct Article { price: i32 }
        pub struct News { all: HashMap<String, Vec<Option<Article>>> }
    }
    spelled_otherwise {
        pub struct Article { price: core::primitive::u32 }
        pub struct News { all: collections::HashMap<std::string::String, Vec<Option<self::Article>>> }
    }
}

#[test]
fn a_change_below_is_another_fingerprint() {
    assert_all_differ!(nested_before::News, nested_after::News);
}

#[test]
fn another_spelling_is_the_same_fingerprint() {
    assert_eq!(fingerprint::<nested_before::News>(), fingerprint::<spelled_otherwise::News>());
}

versions! {
    direct { pub struct Tree { value: u32, below: Vec<Tree> } }
    by_self { pub struct Tree { value: u32, below: Vec<Self> } }
    direct_changed { pub struct Tree { value: u64, below: Vec<Tree> } }
    mutual {
        pub struct Folder { entries: Vec<Entry> }
        pub enum Entry { File(String), Folder(Box<Folder>) }
    }
    mutual_changed {
        pub struct Folder { entries: Vec<Entry> }
        pub enum Entry { File(String), Folder(Box<Folder>), Link(u8) }
    }
    generic { pub struct List<T> { head: T, tail: Option<Box<List<T>>> } }
}

#[test]
fn recursion_comes_to_an_end() {
    assert_all_differ!(
        direct::Tree,
        direct_changed::Tree,
        mutual::Folder,
        mutual::Entry,
        mutual_changed::Folder,
        generic::List<u32>,
        generic::List<i32>,
        generic::List<generic::List<u32>>,
    );
    assert_eq!(fingerprint::<direct::Tree>(), fingerprint::<by_self::Tree>());
}

#[test]
fn instantiations_differ_in_any_order_and_on_any_thread() {
    let first = (fingerprint::<generic::List<u8>>(), fingerprint::<generic::List<u16>>());
    assert_ne!(first.0, first.1);
    let elsewhere = std::thread::spawn(|| {
        let second = fingerprint::<generic::List<u16>>();
        (fingerprint::<generic::List<u8>>(), second)
    });
    assert_eq!(first, elsewhere.join().expect("no panic"));
    assert_eq!(first.0, fingerprint::<generic::List<u8>>(), "known already");
}

/// Types of another crate: serde knows them, the cluster does not.
#[allow(dead_code, unreachable_pub, reason = "only the layout counts")]
mod foreign {
    #[derive(PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
    pub struct Uuid(u128);
    #[derive(PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
    pub struct Date<Zone>(u64, Zone);
}

versions! {
    cart {
        pub struct Article { price: u32 }
        #[message(opaque(foreign::Uuid, Date))]
        pub struct Carts { all: BTreeMap<foreign::Uuid, Vec<Article>>, seen: Option<foreign::Date<u8>> }
    }
    cart_imported {
        pub struct Article { price: u32 }
        #[message(opaque(crate::message::tests::foreign::Uuid, Date))]
        pub struct Carts { all: BTreeMap<Uuid, Vec<Article>>, seen: Option<Date<u8>> }
    }
    cart_changed {
        pub struct Article { price: u64 }
        #[message(opaque(foreign::Uuid, Date))]
        pub struct Carts { all: BTreeMap<foreign::Uuid, Vec<Article>>, seen: Option<foreign::Date<u8>> }
    }
    opaque_field { pub struct Cart { #[message(opaque)] id: Option<foreign::Uuid> } }
    opaque_field_imported { pub struct Cart { #[message(opaque)] id: std::option::Option<Uuid> } }
    opaque_field_changed { pub struct Cart { #[message(opaque)] id: Vec<foreign::Uuid> } }
}

#[test]
fn beside_an_opaque_type_changes_are_still_seen() {
    assert_all_differ!(cart::Carts, cart_changed::Carts);
    assert_all_differ!(opaque_field::Cart, opaque_field_changed::Cart);
    assert_eq!(fingerprint::<cart::Carts>(), fingerprint::<cart_imported::Carts>());
    assert_eq!(fingerprint::<opaque_field::Cart>(), fingerprint::<opaque_field_imported::Cart>());
}

/// What is written is a `Raw`, whatever the fields are.
#[derive(Clone, Serialize, Deserialize, ClusterMessage)]
#[serde(from = "Raw<u8>", into = "Raw<u8>")]
struct Converted {
    unshaped: Rc<dyn std::any::Any>,
}

#[derive(Serialize, Deserialize, ClusterMessage)]
struct Raw<T>(T);

impl From<Raw<u8>> for Converted {
    fn from(raw: Raw<u8>) -> Self {
        Self { unshaped: Rc::new(raw.0) }
    }
}

impl From<Converted> for Raw<u8> {
    fn from(converted: Converted) -> Self {
        Self(*converted.unshaped.downcast_ref().expect("made from an u8"))
    }
}

/// What the derive accepts of serde's attributes, as far as it decides what is written.
#[derive(Debug, PartialEq, Serialize, Deserialize, ClusterMessage)]
enum Step {
    #[serde(rename = "begin")]
    Begin(#[serde(skip, default)] u8, u16),
    #[serde(skip_serializing)]
    Former,
    Count {
        #[serde(default)]
        by: Option<u32>,
    },
    #[serde(skip)]
    Here,
}

#[test]
fn what_the_derive_accepts_comes_back_from_postcard() {
    for step in [Step::Begin(0, 5), Step::Count { by: None }, Step::Count { by: Some(3) }] {
        let bytes = postcard::to_stdvec(&step).expect("it can be written");
        assert_eq!(postcard::from_bytes::<Step>(&bytes), Ok(step));
    }
    for step in [Step::Former, Step::Here] {
        assert!(postcard::to_stdvec(&step).is_err(), "{step:?} was written");
    }
}

/// Bounds: on what is sent, on a projection, on nothing.
#[derive(Serialize, Deserialize, ClusterMessage)]
#[serde(bound = "I::Item: Serialize + serde::de::DeserializeOwned")]
#[message(reply = Vec<I::Item>, name = "shop.page")]
struct Page<I: Iterator, Mark: ?Sized, const N: usize> {
    items: Vec<I::Item>,
    mark: PhantomData<Mark>,
}

fn assert_request<M: ClusterRequest<Reply = R>, R: ClusterReply>() {}

#[test]
fn bounds_are_those_of_what_is_sent() {
    assert_request::<Page<std::vec::IntoIter<u8>, dyn std::fmt::Debug, 3>, Vec<u8>>();
    assert_eq!(Page::<std::vec::IntoIter<u8>, str, 3>::NAME, "shop.page");
    assert_eq!(Raw::<u8>::NAME, "cluster::message::tests::Raw");
    assert_ne!(fingerprint::<Converted>(), fingerprint::<Raw<u8>>());
}

#[test]
fn what_serde_writes_alike_has_one_shape() {
    let text = fingerprint::<String>();
    assert_eq!(
        [text; 3],
        [fingerprint::<Box<str>>(), fingerprint::<Cow<'static, str>>(), {
            fingerprint::<Rc<Box<String>>>()
        }]
    );
    assert_eq!(fingerprint::<Vec<u8>>(), fingerprint::<Box<[Wrapping<u8>]>>());
    assert_eq!(fingerprint::<HashMap<u8, String>>(), fingerprint::<HashMap<u8, Box<str>>>());
    type Hasher = BuildHasherDefault<std::hash::DefaultHasher>;
    assert_eq!(
        fingerprint::<[(HashMap<u8, u8>, HashMap<u8, u8>, HashSet<u8>); 2]>(),
        fingerprint::<[(HashMap<u8, u8>, HashMap<u8, u8, Hasher>, HashSet<u8, Hasher>); 2]>(),
    );
}

#[test]
fn what_serde_writes_differently_has_not() {
    assert_all_differ!(
        (),
        u8,
        i8,
        usize,
        u64,
        Option<u8>,
        Vec<u8>,
        VecDeque<u8>,
        [u8; 1],
        [u8; 2],
        (u8,),
        (u8, u8),
        ((u8,), u8),
        Result<u8, i8>,
        Result<i8, u8>,
        HashMap<u8, i8>,
        BTreeMap<u8, i8>,
        HashMap<i8, u8>,
        std::num::NonZero<u8>,
        std::ops::Range<u8>,
        String,
        std::path::PathBuf,
        PhantomData<u8>,
    );
}

/// A change here makes every build before it a stranger to every build after it.
#[test]
fn the_algorithm_is_what_it_was() {
    let pinned = [
        (fingerprint::<()>(), 0x7264_904b_3be2_a6f1),
        (fingerprint::<String>(), 0xa572_039e_1117_9694),
        (fingerprint::<HashMap<String, Vec<Option<u32>>>>(), 0x90c4_c45b_0bbf_c256),
        (fingerprint::<Result<[u8; 16], (bool, char)>>(), 0xd6d7_0f91_0796_09af),
        (fingerprint::<base::News>(), 0xfc4f_6ec5_bcbb_55b8),
        (fingerprint::<variants::News>(), 0xd558_5ef9_8540_f984),
        (fingerprint::<mutual::Folder>(), 0xb815_5a32_5ffa_1ce3),
        (fingerprint::<generic::List<u8>>(), 0x52ec_b745_ece0_eb10),
        (fingerprint::<cart::Carts>(), 0xa66a_0a42_8c6b_f6f6),
    ];
    let (now, then): (Vec<u64>, Vec<u64>) = pinned.into_iter().unzip();
    assert_eq!(now, then, "{now:#x?}");
}
