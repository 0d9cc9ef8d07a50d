//! The calls of user code: send, broadcast, request, subscribe, each in its forms.
//!
//! Each encodes at the call, from any thread of a worker or the master; what follows is a future.

use std::{os::fd::OwnedFd, time::Instant};

use super::{
    Address, ClusterMessage, ClusterRequest, Mailbox, Requesting, Sending,
    office::{Office, encode, try_office},
    post::Sealed,
    request::USUAL_TIMEOUT,
    shape::{fingerprint, hash},
};
use crate::{
    error::{Cause, Error},
    mail::{Head, Kind, Place},
};

const NO_CLUSTER: &str = "this process is not part of a cluster, or not yet";

/// Sends a message to one process of the cluster, from any process and thread of it.
///
/// The message is encoded at the call; the future waits while the outbox of this process is full
/// (8 MiB). Messages from one process to another arrive in the order in which they were sent. One that
/// nobody there has subscribed to yet is kept, up to 8 MiB. What was sent before an orderly exit is
/// delivered: a worker that returns from `main` or calls [`std::process::exit`] waits up to 5 s for that.
/// What waits in the outbox of a process that aborts or is killed is lost.
///
/// A receiver that reads nothing for a second or two while 8 MiB wait for it misses what follows, and is told
/// how many ([`Error::is_lagged`]); until then whoever sends to it waits.
///
/// # Errors
/// The message is longer than 64 MiB or its serde code fails. Nobody has the address
/// ([`Error::is_unreachable`]), as far as that is known here: the master knows its workers; a worker knows
/// which services there are, which workers have ended (the last 1024 of whose end it was told), and with
/// `workers = 0` that it is alone. What a worker sends to another before it has heard of its end is
/// dropped without an error; [`request`] tells.
///
/// # Cancel safety
/// Dropping the future before it resolved may or may not have sent the message.
pub fn send<M: ClusterMessage>(to: impl Into<Address>, message: &M) -> Sending {
    match frame("send", to.into(), message) {
        Ok((office, frame)) => Sending::start(office, frame),
        Err(error) => Sending::done(Err(error)),
    }
}

/// Sends a message to one process of the cluster, and moves a descriptor along: a socket, a listener, a
/// file.
///
/// Both arrive together, in [`Mail::fd`](crate::Mail), between workers or between a worker and the
/// master. `fd` may be what std has (`std::net::TcpStream`, `std::fs::File`, ...); of tokio's types and of
/// [`TcpStream`](crate::TcpStream) `into_std` gives that. Flags of the open file go along: a socket that
/// was tokio's is non-blocking. Whatever it is, the descriptor is closed here, also if this fails: a
/// copy (`try_clone`) is what the sender may keep.
///
/// Everything else is as for [`send`]; a descriptor counts as 128 KiB wherever a message waits, so that
/// at most 64 do in any place. It is closed with a message that is dropped: if nobody has the address, if
/// the receiver lags, ends, or drops its mailbox. If a process on the way has no room for it in its table
/// of open files, or the kernel refuses it for a second (ETOOMANYREFS), the receiver is told so
/// ([`Error::is_descriptor_lost`]).
///
/// A descriptor has one receiver: there is no broadcast with one, and no request or reply. Send a copy
/// to each.
///
/// # Errors
/// Those of [`send`].
///
/// # Cancel safety
/// As for [`send`]; the descriptor is closed or sent.
///
/// ```no_run
/// use cluster::{Address, ClusterMessage};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, ClusterMessage)]
/// struct Upload {
///     name: String,
/// }
///
/// # async fn example() -> std::io::Result<()> {
/// let file = std::fs::File::open("upload.part")?;
/// cluster::send_with_fd(Address::Slot(1), &Upload { name: "cat.jpg".into() }, file).await?;
/// # Ok(()) }
/// ```
#[doc(alias = "SCM_RIGHTS")]
#[doc(alias = "sendHandle")]
pub fn send_with_fd<M: ClusterMessage>(
    to: impl Into<Address>,
    message: &M,
    fd: impl Into<OwnedFd>,
) -> Sending {
    // Owned here, so that it is closed if nothing comes of it.
    let fd = fd.into();
    match frame("send_with_fd", to.into(), message) {
        Ok((office, frame)) => Sending::start(office, Sealed::with(frame, fd)),
        Err(error) => Sending::done(Err(error)),
    }
}

/// Sends a message to one process of the cluster, or says that there is no room for it now.
///
/// # Errors
/// As for [`send`], and [`Error::is_full`] if the outbox of this process is full.
pub fn try_send<M: ClusterMessage>(to: impl Into<Address>, message: &M) -> Result<(), Error> {
    let to = to.into();
    let (office, frame) = frame("try_send", to, message)?;
    let letter = frame.into();
    let Some(room) = office.post().try_room(&letter) else {
        return Err(Error::new("try_send", object::<M>(to), Cause::Full("the outbox is full")));
    };
    office.post().push(letter, room);
    Ok(())
}

/// Sends a message to every other process of the cluster, the master too.
///
/// It goes to the workers that the master has spawned by the time it passes there, those included
/// that do not run `main` yet. Order, bounds and what happens at them are as for [`send`].
///
/// # Errors
/// The message is longer than 64 MiB or its serde code fails. That nobody else is there is no error.
pub fn broadcast<M: ClusterMessage>(message: &M) -> Sending {
    to_many("broadcast", name::<M>, Place::Everyone, message)
}

/// Sends a message to every worker of a service but this one.
///
/// In a cluster that names no services every worker is of `"main"`: unlike [`broadcast`], this leaves the
/// master out. Whom it goes to, order, bounds and what happens at them are as there.
///
/// # Errors
/// Those of [`broadcast`]; and there is no such service ([`Error::is_unreachable`]). That it has no
/// other worker now is no error.
pub fn broadcast_to<M: ClusterMessage>(service: &str, message: &M) -> Sending {
    let object = || format!("`{}` to the workers of service {service:?}", M::NAME);
    to_many("broadcast_to", object, Place::Workers(hash(service)), message)
}

fn to_many<M: ClusterMessage>(
    operation: &'static str,
    object: impl Fn() -> String,
    to: Place,
    message: &M,
) -> Sending {
    let started = office(operation, &object).and_then(|office| {
        let unreachable = |why| Error::new(operation, object(), Cause::Unreachable(why));
        // Of a broadcast to all there is always somebody to speak of.
        let to =
            if to == Place::Everyone { to } else { office.reached(to).map_err(unreachable)? };
        let head = head(office, Kind::Message, to, fingerprint::<M>());
        Ok((office, encode(operation, &object, &head, M::NAME, message)?))
    });
    match started {
        Ok((office, _)) if office.is_alone() => Sending::done(Ok(())),
        Ok((office, frame)) => Sending::start(office, frame),
        Err(error) => Sending::done(Err(error)),
    }
}

/// Asks one process of the cluster, and waits for its reply.
///
/// The deadline is 5 s unless [`timeout`](Requesting::timeout) sets another. Whoever receives the message
/// answers with [`Reply::send`](crate::Reply::send). Of a [service](Address::Service) that is the worker with the
/// fewest unanswered requests.
///
/// # Errors
/// Those of [`send`]; and at once: nobody has the address, who had it died, or it is that of a master that
/// has no branch of its own, in which nobody subscribes ([`Error::is_unreachable`]); the receiver dropped the
/// request ([`Error::is_unanswered`]) or did not keep up ([`Error::is_full`]); 16 384 requests of this
/// process are open ([`Error::is_full`]). At the deadline: [`Error::is_timeout`], whose text says if nobody
/// there had subscribed to `M` when the request came.
pub fn request<M: ClusterRequest>(to: impl Into<Address>, message: &M) -> Requesting<M::Reply> {
    let to = to.into();
    let failed = |cause| Error::new("request", object::<M>(to), cause);
    let opened = office("request", || object::<M>(to)).and_then(|office| {
        let place = office.place(to).map_err(|why| failed(Cause::Unreachable(why)))?;
        let head = head(office, Kind::Request, place, fingerprint::<M>());
        // Encoded first, so that a message that cannot be leaves no entry.
        let mut frame = encode("request", || object::<M>(to), &head, M::NAME, message)?;
        let since = Instant::now();
        let opened = office.asked().open(since + USUAL_TIMEOUT);
        let opened = opened.ok_or_else(|| failed(Cause::Full("too many requests are open")))?;
        crate::mail::set_request(&mut frame, opened.0);
        let sending = Sending::start(office, frame);
        Ok(Requesting::open(office, object::<M>(to), opened, sending, since))
    });
    opened.unwrap_or_else(Requesting::failed)
}

/// A mailbox for the messages of one type that come for this process.
///
/// What came before the first subscription and was kept is in it, in order; of what was kept, beyond
/// 8 MiB for all types the oldest was dropped, and the mailbox says how many it misses. Two mailboxes
/// for one type each get every message; what was kept is the first one's, and to a request the first
/// reply counts.
pub fn subscribe<M: ClusterMessage>() -> Mailbox<M> {
    Mailbox::open(try_office())
}

fn office(
    operation: &'static str,
    object: impl FnOnce() -> String,
) -> Result<&'static Office, Error> {
    let absent = || Error::new(operation, object(), Cause::Unreachable(NO_CLUSTER));
    try_office().ok_or_else(absent)
}

fn frame<M: ClusterMessage>(
    operation: &'static str,
    to: Address,
    message: &M,
) -> Result<(&'static Office, Vec<u8>), Error> {
    let office = office(operation, || object::<M>(to))?;
    let unreachable = |why| Error::new(operation, object::<M>(to), Cause::Unreachable(why));
    let place = office.place(to).map_err(unreachable)?;
    let head = head(office, Kind::Message, place, fingerprint::<M>());
    Ok((office, encode(operation, || object::<M>(to), &head, M::NAME, message)?))
}

fn head(office: &Office, kind: Kind, to: Place, fingerprint: u64) -> Head {
    let (from, generation) = (office.me(), office.generation());
    Head { kind, from, to, request: 0, fingerprint, generation }
}

fn object<M: ClusterMessage>(to: Address) -> String {
    format!("`{}` to {to}", M::NAME)
}

fn name<M: ClusterMessage>() -> String {
    format!("`{}`", M::NAME)
}
