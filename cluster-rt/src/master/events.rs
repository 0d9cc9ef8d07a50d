//! `Events`, the stream of what happens in the cluster.
//!
//! Bounded: a slow reader misses the oldest and is told how many.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::broadcast;

use crate::event::Event;

/// A stream of [`Event`]s, from [`Master::events`](crate::Master::events); also a `futures` `Stream`.
pub struct Events(Next);

/// The receiver, or the future that has it and will give it back.
enum Next {
    Idle(broadcast::Receiver<Event>),
    Waiting(Pin<Box<dyn Future<Output = (Received, broadcast::Receiver<Event>)> + Send + Sync>>),
    Ended,
}

type Received = Result<Event, broadcast::error::RecvError>;

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Events {
    /// What comes from now on, and what the receiver has kept.
    pub(super) fn of(receiver: broadcast::Receiver<Event>) -> Self {
        Self(Next::Idle(receiver))
    }

    /// Of a cluster that has ended.
    pub(super) fn none() -> Self {
        Self(Next::Ended)
    }

    /// The next event; `None` when the cluster has ended.
    ///
    /// # Cancel safety
    /// Cancel-safe: an event that was not returned is returned by the next call.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut waiting = match std::mem::replace(&mut self.0, Next::Ended) {
            Next::Ended => return Poll::Ready(None),
            Next::Waiting(waiting) => waiting,
            Next::Idle(mut receiver) => {
                Box::pin(async move { (receiver.recv().await, receiver) }) as Pin<Box<_>>
            }
        };
        let Poll::Ready((received, receiver)) = waiting.as_mut().poll(cx) else {
            self.0 = Next::Waiting(waiting);
            return Poll::Pending;
        };
        let event = match received {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(dropped)) => Event::Lagged(dropped),
            Err(broadcast::error::RecvError::Closed) => return Poll::Ready(None),
        };
        self.0 = Next::Idle(receiver);
        Poll::Ready(Some(event))
    }
}
