//! `Reply`: the way back to who asked.
//!
//! A request that is dropped without an answer, in whatever way, tells the asker so at once: by the
//! `Drop` of the last copy of its [`Return`].

use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

use super::{ClusterMessage, ClusterRequest, office::Office, sending::Sending};
use crate::mail::{Failure, Head, Kind, Place};

/// The way back for one request, shared by every mailbox that has it: the first answer wins.
#[derive(Debug)]
pub(super) struct Return {
    pub(super) office: &'static Office,
    pub(super) asker: Place,
    pub(super) request: u64,
    /// An answer is on its way, or waits for room.
    claimed: AtomicBool,
    /// An answer is on its way, or that there will be none.
    answered: AtomicBool,
    /// The asker waits no longer.
    abandoned: AtomicBool,
    /// Of whichever comes first.
    over: Notify,
}

impl Return {
    pub(super) fn new(office: &'static Office, asker: Place, request: u64) -> Arc<Self> {
        let back = Arc::new(Self {
            office,
            asker,
            request,
            claimed: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            over: Notify::new(),
        });
        office.owed().add(&back);
        back
    }

    /// Fails the request for a reason that its drop does not know.
    pub(super) fn refuse(&self, failure: Failure) {
        if self.claim() {
            let frame = Head::failed(self.office.me(), self.asker, self.request, failure);
            self.office.post().push_now(frame);
            self.set_answered();
        }
    }

    pub(super) fn set_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Tells the asker that nobody has subscribed to the request yet.
    pub(super) fn tell_unheard(&self) {
        let frame = Head::unheard(self.office.me(), self.asker, self.request);
        self.office.post().push_now(frame);
    }

    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
        self.over.notify_waiters();
    }

    /// Whether this is the first answer.
    fn claim(&self) -> bool {
        let first = !self.claimed.swap(true, Ordering::Relaxed);
        self.over.notify_waiters();
        first
    }

    fn is_awaited(&self) -> bool {
        !self.claimed.load(Ordering::Relaxed) && !self.abandoned.load(Ordering::Relaxed)
    }

    async fn over(&self) {
        // It hears what is told from here on, so nothing is missed in between.
        let told = self.over.notified();
        if self.is_awaited() {
            told.await;
        }
    }
}

impl Drop for Return {
    fn drop(&mut self) {
        self.office.owed().forget(self);
        // Also one that nobody waits for: the hub counts what this process is at work on.
        if !*self.answered.get_mut() {
            let (from, to) = (self.office.me(), self.asker);
            let frame = Head::failed(from, to, self.request, Failure::Unanswered);
            self.office.post().push_now(frame);
        }
    }
}

/// The way back to who asked: part of every [`Mail`](crate::Mail), and of use for requests.
///
/// Dropped without [`send`](Reply::send), it lets the request fail at once where it was asked. Whoever is long at
/// work on an answer may look whether it [is still awaited](Reply::is_awaited), or stop when it was
/// [abandoned](Reply::abandoned).
pub struct Reply<M> {
    back: Option<Arc<Return>>,
    message: PhantomData<fn() -> M>,
}

impl<M> Reply<M> {
    pub(super) fn new(back: Option<Arc<Return>>) -> Self {
        Self { back, message: PhantomData }
    }

    /// Whether somebody waits for an answer: the message was sent by [`request`](crate::request), its
    /// deadline has not passed, the future there was not dropped, the asker lives, and no other mailbox of
    /// this process has answered.
    ///
    /// The end of the waiting is told through the master: within milliseconds, but later if a mailbox of this
    /// process is full. An asker that is stopped (SIGSTOP) tells nothing. In a process that has read nothing
    /// while some 5000 requests to it were given up, those beyond stay awaited.
    pub fn is_awaited(&self) -> bool {
        self.back.as_ref().is_some_and(|back| back.is_awaited())
    }

    /// Waits until nobody waits for an answer any more; at once for a message that was not asked as a
    /// request. When that is, is told at [`is_awaited`](Self::is_awaited).
    ///
    /// # Cancel safety
    /// Cancel-safe, and any number of calls may wait at the same time.
    ///
    /// ```no_run
    /// use cluster::ClusterMessage;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, ClusterMessage)]
    /// #[message(reply = u64)]
    /// struct PrimesBelow(u64);
    ///
    /// # async fn count(below: u64) -> u64 { below }
    /// # async fn example() -> Result<(), cluster::Error> {
    /// let mut asked = cluster::subscribe::<PrimesBelow>();
    /// while let Some(mail) = asked.recv().await {
    ///     let mail = mail?;
    ///     tokio::select! {
    ///         primes = count(mail.body.0) => mail.reply.send(&primes).await?,
    ///         // Nobody would hear of it.
    ///         () = mail.reply.abandoned() => {}
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn abandoned(&self) {
        if let Some(back) = &self.back {
            back.over().await;
        }
    }
}

impl<M: ClusterRequest> Reply<M> {
    /// Answers.
    ///
    /// Of two mailboxes that have the same request the first answer counts; a later one, the answer to a
    /// message that was not asked as a request, and one that nobody waits for any more, goes nowhere and is no
    /// error.
    ///
    /// # Errors
    /// As for [`send`](crate::send). If the reply is too large or cannot be encoded, the request
    /// fails at once where it was asked.
    ///
    /// # Cancel safety
    /// If the future is dropped while it waits for room in the outbox, the request fails at once too.
    pub fn send(self, reply: &M::Reply) -> Sending {
        let Some(back) = self.back else { return Sending::done(Ok(())) };
        let object = || format!("to a {}", <M as ClusterMessage>::NAME);
        let head = Head {
            kind: Kind::Reply,
            from: back.office.me(),
            to: back.asker,
            request: back.request,
            fingerprint: super::shape::fingerprint::<M::Reply>(),
            generation: back.office.generation(),
        };
        match super::office::encode("reply", object, &head, M::NAME, reply) {
            Err(error) => Sending::done(Err(error)),
            // The drop of it tells the hub all that it needs.
            Ok(_) if back.abandoned.load(Ordering::Relaxed) => Sending::done(Ok(())),
            Ok(_) if !back.claim() => Sending::done(Ok(())),
            Ok(frame) => Sending::answer(back, frame),
        }
    }
}

impl<M> fmt::Debug for Reply<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("awaited", &self.is_awaited()).finish()
    }
}
