//! `TcpStream` and `UnixStream`: tokio's streams, counted for as long as they are open.
//!
//! Everything that reads, writes or asks goes straight to tokio's stream. What this adds is the count
//! by which a drain knows that a worker is done, and the master how many connections a crash lost.

use std::{
    fmt, io,
    ops::Deref,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::worker;

/// The count of one open connection: held while it is open, dropped when it is closed.
pub struct ConnGuard(pub(crate) worker::Counted);

impl fmt::Debug for ConnGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnGuard")
    }
}

macro_rules! counted {
    ($Stream:ident of $Listener:ident, $tokio:ident, $Read:ident, $Write:ident, $ReuniteError:ident) => {
#[doc = concat!("A connection accepted by a [`", stringify!($Listener), "`](crate::", stringify!($Listener), ").")]
///
/// It has tokio's traits, and by `Deref` the methods of tokio's stream that take `&self`. It
/// is counted as open until it is dropped; a draining worker waits for that. Code that wants tokio's
/// type by value gets it from [`into_parts`](Self::into_parts).
#[derive(Debug)]
pub struct $Stream {
    // Before the guard, so that the connection is closed before it counts as closed.
    stream: tokio::net::$Stream,
    guard: ConnGuard,
}

impl $Stream {
    pub(super) fn new(stream: tokio::net::$Stream, counted: worker::Counted) -> Self {
        Self { stream, guard: ConnGuard(counted) }
    }

    /// Splits into halves that tasks can own; the connection is counted until both are dropped.
    pub fn into_split(self) -> ($Read, $Write) {
        let (read, write) = self.stream.into_split();
        let guard = Arc::new(self.guard);
        (
            $Read { half: read, guard: Arc::clone(&guard) },
            $Write { half: write, guard },
        )
    }

    /// Tokio's stream. It is not counted any more: a drain does not wait for it.
    pub fn into_inner(self) -> tokio::net::$Stream {
        self.stream
    }

    /// Tokio's stream, and the guard to keep for as long as it is open.
    ///
    /// The connection counts as read from, since this worker cannot see it any more.
    pub fn into_parts(self) -> (tokio::net::$Stream, ConnGuard) {
        self.guard.0.mark_read();
        (self.stream, self.guard)
    }
}

impl Deref for $Stream {
    type Target = tokio::net::$Stream;

    fn deref(&self) -> &Self::Target {
        &self.stream
    }
}

impl AsFd for $Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsRawFd for $Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl AsyncRead for $Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.guard.0.mark_read();
        }
        read
    }
}

impl AsyncWrite for $Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[doc = concat!("The reading half of a [`", stringify!($Stream), "`], from its `into_split`.")]
#[derive(Debug)]
pub struct $Read {
    half: tokio::net::$tokio::OwnedReadHalf,
    guard: Arc<ConnGuard>,
}

#[doc = concat!("The writing half of a [`", stringify!($Stream), "`], from its `into_split`. Dropping it shuts down the")]
/// writing direction, as with tokio's.
#[derive(Debug)]
pub struct $Write {
    half: tokio::net::$tokio::OwnedWriteHalf,
    guard: Arc<ConnGuard>,
}

/// Two halves that were not of one stream, given back.
#[derive(Debug)]
pub struct $ReuniteError(pub $Read, pub $Write);

impl fmt::Display for $ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tried to reunite halves that are not of one stream")
    }
}

impl std::error::Error for $ReuniteError {}

impl $Read {
    /// Puts the two halves of one stream together again.
    ///
    /// # Errors
    /// Gives the halves back if they are not of one stream.
    pub fn reunite(self, other: $Write) -> Result<$Stream, $ReuniteError> {
        if !Arc::ptr_eq(&self.guard, &other.guard) {
            return Err($ReuniteError(self, other));
        }
        drop(other.guard);
        match (self.half.reunite(other.half), Arc::try_unwrap(self.guard)) {
            (Ok(stream), Ok(guard)) => Ok($Stream { stream, guard }),
            // The halves share a guard, which nobody else holds, because they are of one stream.
            _ => unreachable!("halves with one guard are halves of one stream"),
        }
    }
}

impl Deref for $Read {
    type Target = tokio::net::$tokio::OwnedReadHalf;

    fn deref(&self) -> &Self::Target {
        &self.half
    }
}

impl Deref for $Write {
    type Target = tokio::net::$tokio::OwnedWriteHalf;

    fn deref(&self) -> &Self::Target {
        &self.half
    }
}

impl AsyncRead for $Read {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.half).poll_read(cx, buf);
        if read.is_ready() {
            self.guard.0.mark_read();
        }
        read
    }
}

impl AsyncWrite for $Write {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.half).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.half).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.half.is_write_vectored()
    }
}
    };
}

counted!(TcpStream of TcpListener, tcp, OwnedReadHalf, OwnedWriteHalf, ReuniteError);
counted!(UnixStream of UnixListener, unix, UnixReadHalf, UnixWriteHalf, UnixReuniteError);
