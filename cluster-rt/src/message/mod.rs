//! Messages as user code sees them: the traits that a type must have, and the calls that move it.
//!
//! This file has the traits; no other file of the crate knows a message type. Never imports `master` or
//! `worker`: both feed the `office` of their process, and take from it what it sends.

mod address;
mod asked;
#[cfg(test)]
mod bounds_tests;
mod calls;
mod decoding;
#[cfg(test)]
mod delivery_tests;
mod ended;
mod inbox;
mod kept;
mod letter;
mod mailbox;
pub(crate) mod office;
mod owed;
mod pack;
pub(crate) mod post;
#[cfg(test)]
mod random_tests;
mod reply;
mod request;
#[cfg(test)]
mod request_tests;
mod sending;
mod shape;
mod shapes_of_std;
#[cfg(any(test, fuzzing))]
pub(crate) mod specimen;
#[cfg(test)]
mod tests;
mod tray;
mod unread;

use serde::{Serialize, de::DeserializeOwned};

pub use self::{
    address::Address,
    calls::{broadcast, broadcast_to, request, send, send_with_fd, subscribe, try_send},
    mailbox::{Mail, Mailbox},
    reply::Reply,
    request::Requesting,
    sending::Sending,
    shape::{Opaque, Shape, ShapeNode, hash},
};
pub(crate) use self::{
    address::{MAIN_SERVICE, NO_SERVICE, service_hash},
    decoding::decode,
    shape::fingerprint,
};

/// A type that can be sent from one process of the cluster to another.
///
/// It is derived, beside serde's two traits:
///
/// ```
/// use cluster::ClusterMessage;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize, ClusterMessage)]
/// enum News {
///     Rate(u32),
///     Notice { text: String },
/// }
/// # assert!(<News as ClusterMessage>::NAME.ends_with("::News"));
/// ```
///
/// The [derive](derive@crate::ClusterMessage) has the options, and what it refuses. A message needs
/// to be neither `Send` nor `Sync`: it is encoded where it is sent, and decoded where it is received.
///
/// # Bounds
///
/// A message takes at most 64 MiB. Lists, structs, enums and the like may stand in each other up to 512 levels
/// deep, and elements that take no bytes, as in a `Vec<()>`, are at most 65 536: what has more is sent, but
/// its receiver gets an error instead of it.
///
/// # Identity
///
/// A receiver knows a message by its [`NAME`](Self::NAME) together with a fingerprint of its
/// [`Shape`]. Two programs, or two builds of one, whose types differ in layout get an error and
/// never each other's bytes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no message",
    label = "cannot be sent between processes of the cluster",
    note = "derive it: `#[derive(serde::Serialize, serde::Deserialize, cluster::ClusterMessage)]`"
)]
pub trait ClusterMessage: Serialize + DeserializeOwned + Shape {
    /// The name under which receivers know the type.
    ///
    /// By default the path of its module and its own name, as in `shop::orders::News`; the same
    /// name for every instantiation of a generic type. `#[message(name = "...")]` sets another one,
    /// which then survives a move to another module.
    const NAME: &'static str;
}

/// A message that is answered.
///
/// It is derived by naming the type of the answer, which may be any [`ClusterReply`]:
///
/// ```
/// use cluster::ClusterMessage;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, ClusterMessage)]
/// #[message(reply = Result<u32, String>)]
/// struct StockOf {
///     article: u64,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no reply",
    label = "is sent without an answer",
    note = "name the type of the answer beside `#[derive(ClusterMessage)]`: `#[message(reply = T)]`"
)]
pub trait ClusterRequest: ClusterMessage {
    /// What the receiver answers with.
    type Reply: ClusterReply;
}

/// A type that a request can be answered with.
///
/// Every type that can be encoded and decoded and has a [`Shape`] is one, without further ado:
/// integers, `String`, `()`, `Result<u32, String>`, and whatever derives [`ClusterMessage`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a reply",
    label = "cannot be sent between processes of the cluster",
    note = "derive what it needs: \
            `#[derive(serde::Serialize, serde::Deserialize, cluster::ClusterMessage)]`"
)]
pub trait ClusterReply: Serialize + DeserializeOwned + Shape {}

impl<T: Serialize + DeserializeOwned + Shape> ClusterReply for T {}
