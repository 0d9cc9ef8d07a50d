//! `Parent`, what a forked child has of its parent.

use std::{fmt, io, os::fd::OwnedFd};

use super::channel::{self, Flush, Receiver, Sender, Sending};
use crate::{error::Error, message::ClusterMessage};

/// What a forked child has of its parent: the way to send it `Out` and to receive `In`.
///
/// It is given to the function that is marked [`#[cluster::child]`](crate::child). When its parent has
/// ended, [`recv`](Self::recv) returns `None`, and the child is expected to end; nothing ends one that does not.
pub struct Parent<Out, In> {
    sender: Sender<Out>,
    receiver: Receiver<In>,
}

impl<Out: ClusterMessage, In: ClusterMessage> Parent<Out, In> {
    pub(super) fn open(socket: OwnedFd) -> io::Result<Self> {
        let (sender, receiver) = channel::open(socket)?;
        Ok(Self { sender, receiver })
    }

    pub(super) fn flush(&self) -> Flush {
        self.sender.flush()
    }

    /// Sends the parent a message; see [`Sender::send`].
    ///
    /// What was sent before the function returns is delivered; `std::process::exit` does not wait for that.
    pub fn send(&self, message: &Out) -> Sending {
        self.sender.send(message)
    }

    /// Sends the parent a message and a descriptor; see [`Sender::send_with_fd`].
    pub fn send_with_fd(&self, message: &Out, fd: impl Into<OwnedFd>) -> Sending {
        self.sender.send_with_fd(message, fd)
    }

    /// The parent's next message; see [`Receiver::recv`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv(&mut self) -> Option<Result<In, Error>> {
        self.receiver.recv().await
    }

    /// The parent's next message and the descriptor that came along; see [`Receiver::recv_with_fd`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv_with_fd(&mut self) -> Option<Result<(In, Option<OwnedFd>), Error>> {
        self.receiver.recv_with_fd().await
    }

    /// Both ways apart, for tasks of their own.
    pub fn split(self) -> (Sender<Out>, Receiver<In>) {
        (self.sender, self.receiver)
    }
}

impl<Out, In> fmt::Debug for Parent<Out, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parent")
    }
}
