//! The shape of a type: what decides how its bytes are read, as a graph and as one number.
//!
//! The graph is walked at run time, since a recursive type has no finite shape at compile time.
//! Invariant: a fingerprint depends on names, order and nesting alone, hence is the same in every
//! build and process; addresses and `TypeId`s only tell whether a type was visited before.

#[cfg(test)]
mod random_tests;

use std::{
    any::TypeId,
    cell::RefCell,
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A type whose layout can be told from that of another version of it.
///
/// [`#[derive(ClusterMessage)]`](derive@crate::ClusterMessage) implements it, and asks it of every
/// field that is sent. The types of std that serde knows have it. For a type of another crate there
/// is `#[message(opaque)]`, which takes the type as unchanging.
///
/// Names and order of fields and variants, serde's attributes and the shapes of the fields make the
/// shape; how a type is spelled (`HashMap` or `std::collections::HashMap`) does not. What serde
/// writes as its content, such as `Box<T>`, `Arc<T>` and `Cell<T>`, has the shape of its content.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no shape, which every part of a message or reply needs",
    label = "its layout is not known",
    note = "if `{Self}` is yours, derive it there: `#[derive(ClusterMessage)]`",
    note = "if it is another crate's, put `#[message(opaque)]` on the field, or \
            `#[message(opaque(path::to::Type))]` on the message: its layout is then taken as fixed"
)]
pub trait Shape: 'static {
    /// This type's node in the graph.
    #[doc(hidden)]
    fn shape() -> ShapeNode;
}

/// One type in the graph of shapes.
#[derive(Debug)]
pub struct ShapeNode {
    /// Which types are the same one within this process; not part of a fingerprint.
    id: TypeId,
    name: &'static str,
    /// A hash of what this type says itself, without the types it nests.
    local: u64,
    nested: &'static [fn() -> ShapeNode],
}

impl ShapeNode {
    /// The node of `T`.
    pub fn of<T: ?Sized + 'static>(
        name: &'static str,
        local: u64,
        nested: &'static [fn() -> ShapeNode],
    ) -> Self {
        Self { id: TypeId::of::<T>(), name, local, nested }
    }
}

/// Stands for a type whose layout is taken as fixed; `NAME` is the hash of its name.
///
/// It has the traits that a generic type may ask of its parameter, as a map asks `Ord` of its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opaque<const NAME: u64>;

impl<const NAME: u64> Shape for Opaque<NAME> {
    fn shape() -> ShapeNode {
        ShapeNode::of::<Self>("opaque", NAME, &[])
    }
}

/// The hash of what a type says itself.
pub const fn hash(text: &str) -> u64 {
    Fnv::NEW.bytes(text.as_bytes()).0
}

thread_local! {
    /// By type, because a `static` inside a generic function is one for all its instantiations. For
    /// each thread, so that sending takes no lock.
    static KNOWN: RefCell<HashMap<TypeId, u64, BuildHasherDefault<AsItIs>>> = RefCell::default();
}

/// For what is a hash already, as a `TypeId` is: it is looked up for each message that is sent.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 ^= hash;
    }

    /// Nothing promises that a `TypeId` hashes itself as one number.
    fn write(&mut self, bytes: &[u8]) {
        self.0 = Fnv(self.0).bytes(bytes).0;
    }
}

/// The number that tells the layout of `T` from others; the graph is walked once in each thread.
pub(crate) fn fingerprint<T: Shape>() -> u64 {
    let id = TypeId::of::<T>();
    let known = KNOWN.try_with(|known| known.borrow().get(&id).copied());
    if let Ok(Some(fingerprint)) = known {
        return fingerprint;
    }
    let fingerprint = walk(T::shape);
    // A thread that is ending has nowhere to keep it, and still gets its answer.
    let _ = KNOWN.try_with(|known| known.borrow_mut().insert(id, fingerprint));
    fingerprint
}

/// Hashes the graph below `root`, depth first. A type met again is hashed as the number of its
/// first visit, which ends every recursion and keeps the cost linear. So `(A, A)` and `(A, B)` differ
/// even if `A` and `B` are read alike: a mismatch too many is an error, one too few a misread.
fn walk(root: fn() -> ShapeNode) -> u64 {
    const FIRST: u8 = 0;
    const AGAIN: u8 = 1;
    let mut fnv = Fnv::NEW;
    let mut visited: HashMap<TypeId, usize> = HashMap::new();
    // The next one last. A stack of our own, because a chain of types may be long.
    let mut ahead = vec![root];
    while let Some(shape) = ahead.pop() {
        let node = shape();
        if let Some(number) = visited.get(&node.id) {
            fnv = fnv.bytes(&[AGAIN]).number(*number as u64);
            continue;
        }
        visited.insert(node.id, visited.len());
        fnv = fnv.bytes(&[FIRST]).number(node.name.len() as u64).bytes(node.name.as_bytes());
        fnv = fnv.number(node.local).number(node.nested.len() as u64);
        ahead.extend(node.nested.iter().rev());
    }
    fnv.0
}

/// FNV-1a with 64 bits: usable in constants, and fixed for ever, unlike the hasher of std.
#[derive(Clone, Copy)]
struct Fnv(u64);

impl Fnv {
    const NEW: Self = Self(0xcbf2_9ce4_8422_2325);

    const fn bytes(mut self, bytes: &[u8]) -> Self {
        let mut at = 0;
        while at < bytes.len() {
            self.0 = (self.0 ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            at += 1;
        }
        self
    }

    const fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }
}
