//! `Incoming`: the connections of a listener as a stream that ends at the drain.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use super::{stream::TcpStream, tcp::TcpListener};
use crate::worker::Draining;

/// A stream of connections, from [`TcpListener::incoming`].
///
/// It ends when this worker drains and has returned what was meant for it. An `Err` is one
/// connection's; the next item may be fine.
///
/// # Cancel safety
/// Cancel-safe: a connection that was not returned is still waiting.
#[derive(Debug)]
pub struct Incoming {
    listener: TcpListener,
    draining: Draining,
}

impl Incoming {
    pub(super) fn new(listener: TcpListener, draining: Draining) -> Self {
        Self { listener, draining }
    }

    /// The listener behind it.
    pub fn listener(&self) -> &TcpListener {
        &self.listener
    }
}

impl Stream for Incoming {
    type Item = io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(accepted) = self.listener.poll_accept(cx) {
            return Poll::Ready(Some(accepted.map(|(stream, _peer)| stream)));
        }
        // The future resolves after the last connection was returned.
        Pin::new(&mut self.draining).poll(cx).map(|()| None)
    }
}
