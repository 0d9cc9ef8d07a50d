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

use super::{ClusterMessage, ClusterRequest, office::Office, sending::Sending};
use crate::mail::{Failure, Head, Kind, Place};

/// The way back for one request, shared by every mailbox that has it: the first answer wins.
#[derive(Debug)]
pub(super) struct Return {
    pub(super) office: &'static Office,
    pub(super) asker: Place,
    pub(super) request: u64,
    answered: AtomicBool,
}

impl Return {
    pub(super) fn new(office: &'static Office, asker: Place, request: u64) -> Self {
        Self { office, asker, request, answered: AtomicBool::new(false) }
    }
}

impl Drop for Return {
    fn drop(&mut self) {
        if !*self.answered.get_mut() {
            let (from, to) = (self.office.me(), self.asker);
            let frame = Head::failed(from, to, self.request, Failure::Unanswered);
            self.office.post().push_now(frame);
        }
    }
}

/// The way back to who asked: part of every [`Mail`](crate::Mail), and of use for requests.
///
/// Dropped without [`send`](Reply::send), it lets the request fail at once where it was asked.
pub struct Reply<M> {
    back: Option<Arc<Return>>,
    message: PhantomData<fn() -> M>,
}

impl<M> Reply<M> {
    pub(super) fn new(back: Option<Arc<Return>>) -> Self {
        Self { back, message: PhantomData }
    }

    /// Whether somebody waits for an answer: the message was sent by [`request`](crate::request).
    pub fn is_awaited(&self) -> bool {
        self.back.is_some()
    }
}

impl<M: ClusterRequest> Reply<M> {
    /// Answers.
    ///
    /// Of two mailboxes that have the same request the first answer counts; a later one, and the
    /// answer to a message that was not asked as a request, goes nowhere and is no error.
    ///
    /// # Errors
    /// As for [`send`](crate::send). If the reply is too large or cannot be encoded, the request
    /// fails at once where it was asked.
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
            Ok(_) if back.answered.swap(true, Ordering::Relaxed) => Sending::done(Ok(())),
            Ok(frame) => Sending::start(back.office, frame),
        }
    }
}

impl<M> fmt::Debug for Reply<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("awaited", &self.is_awaited()).finish()
    }
}
