//! `UnixListener`: as `TcpListener`, at a path.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    task::{Context, Poll},
};

use tokio::net::unix::SocketAddr;

use super::{
    acceptor::{Accepted, Acceptor},
    bind::{self, Bound, How},
    incoming::Incoming,
    options::ListenOptions,
    stream::UnixStream,
};
use crate::{
    endpoint::{Endpoint, Inherited},
    wire::{Kind, Wanted},
    worker::{Current, current},
};

/// A Unix stream listener shared by all workers of the cluster.
///
/// The file of a program that has ended without removing it is replaced; where somebody listens, it is
/// `AddrInUse`. The file is removed at the cluster's stop, if it is still the one that was made. A path may
/// be longer than the system's limit for socket addresses (108 bytes).
///
/// The file belongs to the user and the group that the cluster's workers run as, and permits what the umask
/// leaves; [`ListenOptions`] has `owner`, `group` and `mode` for others. To connect is to write: who is to
/// connect needs that permission.
///
/// Schedules are those of [`TcpListener`](crate::TcpListener), but clients have no address, so that
/// `Sticky` is as `RoundRobin`, and a path has no group, so that `Kernel` is too.
pub struct UnixListener {
    path: PathBuf,
    acceptor: Acceptor,
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixListener").field("path", &self.path).finish()
    }
}

impl UnixListener {
    /// Binds `path` for this worker; a relative one is relative to this worker's working directory.
    ///
    /// # Errors
    /// Those of the plain calls in the master, of the same [`ErrorKind`](io::ErrorKind), with the path and
    /// the remedy in the message. `AddrInUse` if somebody listens there, if the file is no socket, while
    /// another start is binding it, or for a second listener of this worker. `InvalidInput` for an
    /// abstract address. `TimedOut` if the master does not answer for 10 s.
    ///
    /// # Cancel safety
    /// Dropping the future can leave the path bound for this worker until the worker ends.
    pub async fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::bind_with(path, &ListenOptions::new()).await
    }

    /// As [`bind`](Self::bind), in the way that `options` say.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    ///
    /// # Cancel safety
    /// As for [`bind`](Self::bind).
    pub async fn bind_with(path: impl AsRef<Path>, options: &ListenOptions) -> io::Result<Self> {
        let worker = current("UnixListener::bind")?;
        let path = bind::absolute(path.as_ref().to_owned())?;
        let options = options.with_ids(&path).await?;
        let bound = bind::bind(worker, Wanted::Unix { path }, &options, How::Await).await?;
        Self::new(worker, bound, &options)
    }

    /// A listener on a socket that the program was started with, shared as one that was bound.
    ///
    /// # Errors
    /// `NotFound` if there is none of that name or number, `InvalidInput` if it is no Unix stream socket,
    /// and as for [`bind`](Self::bind).
    ///
    /// # Cancel safety
    /// As for [`bind`](Self::bind).
    pub async fn inherited(which: impl Into<Inherited>) -> io::Result<Self> {
        let worker = current("UnixListener::inherited")?;
        let (wanted, options) =
            (Wanted::Inherited { which: which.into(), kind: Kind::Unix }, ListenOptions::new());
        Self::new(worker, bind::bind_one(worker, wanted, &options, How::Await).await?, &options)
    }

    fn new(worker: &'static Current, bound: Bound, options: &ListenOptions) -> io::Result<Self> {
        let Endpoint::Unix(path) = bound.endpoint.clone() else {
            return Err(io::Error::other("bind: the master answered with another kind of socket"));
        };
        Ok(Self { path, acceptor: Acceptor::new(worker, bound, options.limit())? })
    }

    /// Waits for the next connection and its peer's address, which is usually unnamed.
    ///
    /// While this worker drains, it returns the connections that were meant for this worker, and then
    /// stays pending. While the process has no descriptor free it waits, and loses nothing.
    ///
    /// # Errors
    /// Those of one connection, which a next call gets over.
    ///
    /// # Cancel safety
    /// Cancel-safe: a connection that was not returned is still waiting.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        stream_of(self.acceptor.accept().await?)
    }

    /// As [`accept`](Self::accept), by polling. Only the task that polled last is woken.
    ///
    /// # Errors
    /// As for [`accept`](Self::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
        self.acceptor.poll_accept(cx).map(|accepted| stream_of(accepted?))
    }

    /// A stream of the connections, which ends when this worker drains.
    pub fn incoming(self) -> Incoming<Self> {
        let draining = self.acceptor.worker.drain.draining();
        Incoming::new(self, draining)
    }

    /// The absolute path; empty for an inherited socket that has none.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The listening socket itself, as [`TcpListener::into_std`](crate::TcpListener::into_std).
    ///
    /// # Errors
    /// As there.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixListener> {
        self.acceptor.into_socket().map(std::os::unix::net::UnixListener::from)
    }
}

fn stream_of(accepted: Accepted) -> io::Result<(UnixStream, SocketAddr)> {
    let Accepted { socket, counted, .. } = accepted;
    let stream = tokio::net::UnixStream::from_std(socket.into())?;
    let peer = stream.peer_addr()?;
    Ok((UnixStream::new(stream, counted), peer))
}
