//! `Mailbox` and `Mail`: what user code receives.
//!
//! Decoding happens here, in the task that receives, so that a mailbox can be sent to another thread
//! whatever its messages are.

use std::{
    collections::VecDeque,
    fmt,
    marker::PhantomData,
    os::fd::OwnedFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use tokio::task::coop;

use super::{
    Address, ClusterMessage,
    decoding::decode,
    inbox::Subscription,
    letter::{Enclosed, Entry, Letter, Origin},
    office::Office,
    reply::Reply,
    shape::fingerprint,
};
use crate::error::{Cause, Error};

/// A message that came.
#[derive(Debug)]
#[non_exhaustive]
pub struct Mail<M> {
    /// Who sent it: the master or a worker.
    pub from: Address,
    /// The message.
    pub body: M,
    /// The way back, if it was asked as a request.
    pub reply: Reply<M>,
    /// The descriptor that came with it, from [`send_with_fd`](crate::send_with_fd); this process's own
    /// from now on, and closed by `exec`. If two mailboxes have the message, each has a descriptor.
    pub fd: Option<OwnedFd>,
}

/// The messages of one type that come for this process, from [`subscribe`](crate::subscribe). Also a
/// [`Stream`].
///
/// It holds 8 MiB, counting 128 bytes beside each message, hence some 65 000, and 128 KiB for each
/// descriptor, hence at most 64; and beyond that what one read of up to 68 KiB has brought. While it is full,
/// those who send to this process wait. A mailbox that is full and read from by nobody for a second, or two at
/// most, lags: it alone misses what comes, until everything in it was read, and then says how many it missed.
///
/// Dropped, it lets the requests in it fail. What comes when no mailbox is left for a type is kept
/// for the next one.
pub struct Mailbox<M> {
    /// `None` in a process that is part of no cluster.
    place: Option<(&'static Office, Subscription)>,
    name: &'static str,
    /// Of the messages that can be read.
    fingerprint: u64,
    /// Taken from the tray and not yet returned.
    batch: VecDeque<Entry>,
    message: PhantomData<fn() -> M>,
}

impl<M: ClusterMessage> Mailbox<M> {
    pub(super) fn open(office: Option<&'static Office>) -> Self {
        let place = office.map(|office| (office, office.inbox().subscribe(M::NAME)));
        let (name, fingerprint) = (M::NAME, fingerprint::<M>());
        Self { place, name, fingerprint, batch: VecDeque::new(), message: PhantomData }
    }

    /// The next message; `None` when no more can come: the cluster has ended, or this process is not
    /// part of one.
    ///
    /// # Errors
    /// That messages were missed ([`Error::is_lagged`]), that one cannot be read
    /// ([`Error::is_foreign`]), or that one lost its descriptor on the way
    /// ([`Error::is_descriptor_lost`]). Later messages come all the same.
    ///
    /// # Cancel safety
    /// Cancel-safe: a message that was not returned is returned by the next call.
    ///
    /// # Other tasks
    /// A task that receives on and on lets the others of its thread run, as with tokio's own channels
    /// ([`tokio::task::coop`]).
    pub async fn recv(&mut self) -> Option<Result<Mail<M>, Error>> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next message if one is there already.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Option<Result<Mail<M>, Error>> {
        self.drop_read_pack();
        let (office, subscription) = self.place.as_ref()?;
        if self.batch.is_empty() && office.inbox().try_next(subscription, &mut self.batch) {
            office.room_made();
        }
        self.next()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Mail<M>, Error>>> {
        self.drop_read_pack();
        let Some((office, subscription)) = &self.place else { return Poll::Ready(None) };
        let coop = ready!(coop::poll_proceed(cx));
        if self.batch.is_empty() {
            let waited = ready!(office.inbox().poll(subscription, &mut self.batch, cx));
            if waited {
                office.room_made();
            }
        }
        coop.made_progress();
        Poll::Ready(self.next())
    }

    /// Lets go of a pack that was read to its end. Not with its last message, whose decoding may panic.
    fn drop_read_pack(&mut self) {
        if matches!(self.batch.front(), Some(Entry::Pack(pack)) if pack.is_empty()) {
            self.batch.pop_front();
        }
    }

    /// The next message of the batch.
    fn next(&mut self) -> Option<Result<Mail<M>, Error>> {
        let (office, subscription) = self.place.as_ref()?;
        subscription.note_read();
        if let Some(Entry::Pack(pack)) = self.batch.front_mut() {
            let origin = pack.origin;
            return pack.next().map(|payload| {
                check::<M>(office, origin, self.fingerprint)?;
                let body =
                    decode(payload).map_err(|what| failed::<M>(origin, Cause::Serde(what)))?;
                let from = Address::of_sender(origin.from);
                Ok(Mail { from, body, reply: Reply::new(None), fd: None })
            });
        }
        match self.batch.pop_front()? {
            Entry::Letter(letter) => Some(self.open_letter(office, letter)),
            Entry::Missed(count) => {
                Some(Err(Error::new("receive", format!("`{}`", M::NAME), Cause::Lagged(count))))
            }
            // Dealt with above.
            Entry::Pack(_) => None,
        }
    }

    fn open_letter(&self, office: &Office, letter: Letter) -> Result<Mail<M>, Error> {
        let Letter { origin, payload, enclosed, back } = letter;
        check::<M>(office, origin, self.fingerprint)?;
        let fd = own(enclosed).map_err(|()| failed::<M>(origin, Cause::DescriptorLost))?;
        let body = decode(&payload).map_err(|what| failed::<M>(origin, Cause::Serde(what)))?;
        Ok(Mail { from: Address::of_sender(origin.from), body, reply: Reply::new(back), fd })
    }
}

/// That a message is laid out as `ours`.
fn check<M: ClusterMessage>(office: &Office, origin: Origin, ours: u64) -> Result<(), Error> {
    if origin.fingerprint == ours {
        return Ok(());
    }
    office.unread(M::NAME, origin.generation, true);
    let (theirs, ours) = (origin.generation, office.generation());
    Err(failed::<M>(origin, Cause::Foreign { theirs, ours }))
}

fn failed<M: ClusterMessage>(origin: Origin, cause: Cause) -> Error {
    let from = Address::of_sender(origin.from);
    Error::new("receive", format!("`{}` from {from}", M::NAME), cause)
}

impl<M: ClusterMessage> Stream for Mailbox<M> {
    type Item = Result<Mail<M>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx)
    }
}

impl<M> Drop for Mailbox<M> {
    fn drop(&mut self) {
        if let Some((office, subscription)) = &self.place {
            office.inbox().unsubscribe(subscription);
            // Whoever waits for room in it waits for nothing now.
            office.room_made();
        }
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The descriptor of one mailbox: the last to take it has the one that came, the others copies.
fn own(enclosed: Enclosed) -> Result<Option<OwnedFd>, ()> {
    match enclosed {
        Enclosed::Nothing => Ok(None),
        Enclosed::Lost => Err(()),
        Enclosed::Descriptor(fd) => match Arc::try_unwrap(fd) {
            Ok(fd) => Ok(fd.into_owned()),
            // At the limit of open files there is no copy.
            Err(shared) => {
                shared.borrow().map(|fd| fd.try_clone_to_owned()).transpose().map_err(drop)
            }
        },
    }
}
