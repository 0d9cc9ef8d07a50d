//! Entries: the functions that may be forked, found by name in the other process.
//!
//! The attribute puts each into a list that the linker collects. Names carry module, line and column, so
//! that two functions of one name in one module's macros are two.

use std::future::Future;

use linkme::distributed_slice;

use super::Parent;
use crate::message::ClusterMessage;

/// Every function of the program that is marked `#[cluster::child]`.
#[doc(hidden)]
#[distributed_slice]
pub static CHILDREN: [Entry];

/// A marked function.
#[doc(hidden)]
#[derive(Debug)]
pub struct Entry {
    pub(super) name: &'static str,
    pub(super) run: fn(Connection) -> i32,
}

impl Entry {
    /// What the attribute puts into the list.
    pub const fn new(name: &'static str, run: fn(Connection) -> i32) -> Self {
        Self { name, run }
    }
}

/// The child's end of its channel, before it has a type.
#[doc(hidden)]
#[derive(Debug)]
pub struct Connection(pub(super) std::os::fd::OwnedFd);

/// The future of a function that is marked `#[cluster::child]`, which alone can be forked.
///
/// Implemented by the attribute and by nothing else.
#[diagnostic::on_unimplemented(
    message = "this function cannot be forked: it is not marked `#[cluster::child]`",
    label = "not marked `#[cluster::child]`",
    note = "a child runs in a process of its own, where the function is found by its name: write \
            `#[cluster::child] async fn name(parent: cluster::process::Parent<Out, In>)`"
)]
pub trait ChildFuture: Future {
    #[doc(hidden)]
    fn entry() -> &'static Entry;
}

/// The parameter of a function that is marked `#[cluster::child]`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a child's parameter is a `cluster::process::Parent<Out, In>`, not `{Self}`",
    label = "expected `cluster::process::Parent<Out, In>`"
)]
pub trait ParentArg: Sized {
    /// Takes the channel over; inside a runtime.
    fn from_connection(connection: Connection) -> std::io::Result<(Self, super::channel::Flush)>;
}

impl<Out: ClusterMessage, In: ClusterMessage> ParentArg for Parent<Out, In> {
    fn from_connection(connection: Connection) -> std::io::Result<(Self, super::channel::Flush)> {
        let parent = Self::open(connection.0)?;
        let flush = parent.flush();
        Ok((parent, flush))
    }
}

/// The entry of this name, if there is exactly one.
pub(super) fn find(name: &str) -> Result<&'static Entry, String> {
    let mut found = CHILDREN.iter().filter(|entry| entry.name == name);
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => Err(format!("there is no `#[cluster::child]` called {name} in this program")),
        (Some(_), Some(_)) => Err(format!("there are two `#[cluster::child]` called {name}")),
    }
}
