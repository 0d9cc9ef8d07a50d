//! `Order`, the future of what an owner orders, and what comes of it.
//!
//! Carries nothing out: the order goes to the supervisor's thread when it is first polled.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use super::{
    control::Message,
    handle::{Command, Desk},
};
use crate::{error::Error, id::WorkerId};

/// An order to the cluster: sent when it is first polled, done when it is done.
///
/// # Cancel safety
/// Dropped before its first poll, nothing was ordered. Dropped later, the order is carried out all the same.
#[must_use = "an order is sent when its future is first polled"]
pub struct Order<T> {
    state: State<T>,
    /// What comes of it if the cluster ends first.
    otherwise: fn() -> T,
}

type Give<T> = Box<dyn FnOnce(oneshot::Sender<T>) -> Command + Send>;

enum State<T> {
    Given { desk: Arc<Desk>, give: Option<Give<T>> },
    Waiting(oneshot::Receiver<T>),
}

impl<T> Order<T> {
    pub(super) fn new(
        desk: &Arc<Desk>,
        otherwise: fn() -> T,
        give: impl FnOnce(oneshot::Sender<T>) -> Command + Send + 'static,
    ) -> Self {
        let give: Give<T> = Box::new(give);
        Self { state: State::Given { desk: Arc::clone(desk), give: Some(give) }, otherwise }
    }
}

impl<T> Future for Order<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let State::Given { desk, give } = &mut self.state {
            let (done, answer) = oneshot::channel();
            if let Some(give) = give.take() {
                desk.give(Message::Command(give(done)));
            }
            self.state = State::Waiting(answer);
        }
        let otherwise = self.otherwise;
        let State::Waiting(answer) = &mut self.state else { return Poll::Pending };
        // An answer that is dropped means that the supervisor has ended, and so the cluster.
        Pin::new(answer).poll(cx).map(|answer| answer.unwrap_or_else(|_| otherwise()))
    }
}

impl<T> fmt::Debug for Order<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = matches!(self.state, State::Waiting(_));
        f.debug_struct("Order").field("sent", &sent).finish_non_exhaustive()
    }
}

/// What a stop found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Workers that ended by themselves, having finished what they had.
    pub drained: usize,
    /// Workers that were killed because their time was over, or because of a kill.
    pub killed: usize,
}

impl Stopped {
    pub(super) fn nothing() -> Self {
        Self { drained: 0, killed: 0 }
    }
}

/// What came of [`Master::scale`](crate::Master::scale).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scaled {
    /// The number of slots before.
    pub from: usize,
    /// The number of slots now.
    pub to: usize,
}

/// What came of [`Master::respawn`](crate::Master::respawn).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replaced {
    /// The slot.
    pub slot: usize,
    /// Who sat in it and drains now; `None` if nobody did.
    pub before: Option<WorkerId>,
    /// Who sits in it now, ready.
    pub worker: WorkerId,
}

/// What came of [`Master::reload`](crate::Master::reload).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// The generation that has every slot now.
    pub generation: u32,
}

/// How an order ends that can fail.
pub(super) type Answer<T> = oneshot::Sender<Result<T, Error>>;
