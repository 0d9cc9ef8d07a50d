//! `Incoming`: the connections of a listener as a stream that ends at the drain.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use super::{
    stream::{TcpStream, UnixStream},
    tcp::TcpListener,
    unix::UnixListener,
};
use crate::worker::Draining;

/// A stream of connections, from [`TcpListener::incoming`] or [`UnixListener::incoming`].
///
/// It ends when this worker drains and has returned what was meant for it. An `Err` is one
/// connection's; the next item may be fine.
///
/// # Cancel safety
/// Cancel-safe: a connection that was not returned is still waiting.
#[derive(Debug)]
pub struct Incoming<L = TcpListener> {
    listener: L,
    draining: Draining,
}

impl<L> Incoming<L> {
    pub(super) fn new(listener: L, draining: Draining) -> Self {
        Self { listener, draining }
    }

    /// The listener behind it.
    pub fn listener(&self) -> &L {
        &self.listener
    }
}

macro_rules! stream {
    ($Listener:ident, $Stream:ident) => {
        impl Stream for Incoming<$Listener> {
            type Item = io::Result<$Stream>;

            fn poll_next(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Self::Item>> {
                if let Poll::Ready(accepted) = self.listener.poll_accept(cx) {
                    return Poll::Ready(Some(accepted.map(|(stream, _peer)| stream)));
                }
                // The future resolves after the last connection was returned.
                Pin::new(&mut self.draining).poll(cx).map(|()| None)
            }
        }
    };
}

stream!(TcpListener, TcpStream);
stream!(UnixListener, UnixStream);
