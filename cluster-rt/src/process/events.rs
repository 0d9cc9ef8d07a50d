//! `Events`: what happens to a child, in Node's order.
//!
//! `Spawn` first, then what it writes, `Exit` when the process has ended, and `Close`, always last, when
//! its streams have ended too. The child is reaped at `Close`.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    process::ExitStatus,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::io::{AsyncRead, ReadBuf};

use super::{
    Child,
    child::{ChildStderr, ChildStdout, Parts},
    tree::Tree,
};

/// What happened to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It runs. Always the first.
    Spawn {
        /// Its process id.
        pid: u32,
    },
    /// It wrote this to stdout.
    Stdout(Vec<u8>),
    /// It wrote this to stderr.
    Stderr(Vec<u8>),
    /// It has ended; what it has started may still write.
    Exit(ExitStatus),
    /// It has ended and nobody has its streams open. Always the last.
    Close(ExitStatus),
}

/// A stream of [`Event`]s, from [`Child::events`]; also a `futures` `Stream`.
///
/// Nothing is read ahead: a child whose events are not received waits when its pipe is full. Dropped before
/// [`Event::Close`], it ends the child as dropping [`Child`] does.
pub struct Events {
    parts: Parts,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    exit: Option<Pin<Box<dyn Future<Output = io::Result<ExitStatus>> + Send>>>,
    status: Option<ExitStatus>,
    spawned: bool,
    closed: bool,
}

/// Read in one go.
const CHUNK_BYTES: usize = 64 * 1024;

impl Events {
    pub(super) fn of(child: Child) -> Self {
        let Child { stdin, stdout, stderr, parts } = child;
        // Whoever wants to write takes it before.
        drop(stdin);
        let tree: Tree = parts.tree.clone();
        let exit: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(async move { tree.exited().await });
        let (status, spawned, closed) = (None, false, false);
        Self { parts, stdout, stderr, exit: Some(exit), status, spawned, closed }
    }

    /// The next event; `None` after [`Event::Close`].
    ///
    /// # Cancel safety
    /// Cancel-safe: an event that was not returned is returned by the next call.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn poll_exit(&mut self, cx: &mut Context<'_>) -> Option<Event> {
        let exit = self.exit.as_mut()?;
        let Poll::Ready(status) = exit.as_mut().poll(cx) else { return None };
        self.exit = None;
        // Only if somebody else has reaped it, and then nobody knows.
        let status = status.unwrap_or_default();
        self.status = Some(status);
        Some(Event::Exit(status))
    }
}

/// What the stream brings; `None` if nothing now, and the stream is gone at its end.
fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut Option<S>,
    cx: &mut Context<'_>,
) -> Option<Vec<u8>> {
    let open = stream.as_mut()?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut buffer = ReadBuf::new(&mut chunk);
    match Pin::new(open).poll_read(cx, &mut buffer) {
        Poll::Pending => None,
        Poll::Ready(Ok(())) if !buffer.filled().is_empty() => Some(buffer.filled().to_vec()),
        // An error is the end of the stream: it is a pipe, and ours.
        Poll::Ready(_) => {
            *stream = None;
            None
        }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = &mut *self;
        if !std::mem::replace(&mut this.spawned, true) {
            return Poll::Ready(Some(Event::Spawn { pid: this.parts.tree.pid() }));
        }
        if let Some(bytes) = poll_read(&mut this.stdout, cx) {
            return Poll::Ready(Some(Event::Stdout(bytes)));
        }
        if let Some(bytes) = poll_read(&mut this.stderr, cx) {
            return Poll::Ready(Some(Event::Stderr(bytes)));
        }
        if let Some(exit) = this.poll_exit(cx) {
            return Poll::Ready(Some(exit));
        }
        match this.status {
            _ if this.stdout.is_some() || this.stderr.is_some() => Poll::Pending,
            Some(_) if this.closed => Poll::Ready(None),
            Some(status) => {
                this.closed = true;
                this.parts.close();
                Poll::Ready(Some(Event::Close(status)))
            }
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("pid", &self.parts.tree.pid()).finish_non_exhaustive()
    }
}
