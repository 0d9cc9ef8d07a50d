//! `TcpListener`: feels like tokio's, gets its connections from the master.
//!
//! This file is the face; `queue` receives, `bind` asks the master.

use std::{
    fmt, future, io,
    net::SocketAddr,
    os::fd::AsFd,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use tokio::net::{ToSocketAddrs, lookup_host};

use super::{
    bind::{self, Bound},
    incoming::Incoming,
    queue::Queue,
    stream::TcpStream,
};
use crate::{
    sys::socket,
    worker::{Current, current},
};

/// A TCP listener shared by all workers of the cluster.
///
/// Every worker binds the same address and gets its share of the connections: the master owns the
/// socket, accepts, and hands each connection to the slot whose turn it is (Node's `SCHED_RR`). The
/// socket stays open while workers crash and are replaced, so that nobody is refused meanwhile; a
/// connection that waits for a worker that dies is served by another.
///
/// With `workers = 0` it is a plain listener of this process.
#[doc(alias = "SCHED_RR")]
pub struct TcpListener {
    addr: SocketAddr,
    source: Source,
    worker: &'static Current,
}

enum Source {
    /// Handed over by the master.
    Queue(Queue),
    /// Accepted here: there is no master.
    Socket(tokio::net::TcpListener),
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("addr", &self.addr).finish()
    }
}

impl TcpListener {
    /// Binds `addr` for this worker: the first worker that does makes the master bind, the others share
    /// the socket. If `addr` yields several addresses, each is tried until one succeeds.
    ///
    /// With port 0 the system chooses; the n-th bind of port 0 is the same port in every worker.
    ///
    /// # Errors
    /// Those of the plain calls `socket`, `bind` and `listen` in the master, of the same
    /// [`ErrorKind`](io::ErrorKind), with the address and the remedy in the message. A second listener
    /// for the same address in one worker is `AddrInUse`. `TimedOut` if the master does not answer for
    /// 10 s. An error in a process that is no worker. After any error a retry may succeed.
    ///
    /// # Cancel safety
    /// Dropping the future can leave the address bound for this worker until the worker ends.
    pub async fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        let worker = current("TcpListener::bind")?;
        let mut last = None;
        for addr in lookup_host(addr).await? {
            match bind::bind(worker, addr).await {
                Ok(bound) => return Self::new(worker, bound),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "bind: the name has no address")
        }))
    }

    fn new(worker: &'static Current, bound: Bound) -> io::Result<Self> {
        let (addr, source) = match bound {
            Bound::Queue { listener, addr, queue } => {
                (addr, Source::Queue(Queue::new(worker, listener, queue)?))
            }
            Bound::Socket { socket } => {
                let addr = socket::local_addr(&socket)?;
                (addr, Source::Socket(tokio::net::TcpListener::from_std(socket.into())?))
            }
        };
        Ok(Self { addr, source, worker })
    }

    /// Waits for the next connection and its peer's address.
    ///
    /// While this worker drains, it returns the connections that were meant for this worker, and then
    /// stays pending. While the process has no descriptor free it waits, and loses nothing.
    ///
    /// # Errors
    /// Those of one connection, which a next call gets over: it could not be registered with the
    /// runtime, or was lost because another thread took the last descriptor at that moment.
    ///
    /// # Cancel safety
    /// Cancel-safe: a connection that was not returned is still waiting.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.source {
            Source::Queue(queue) => queue.accept().await,
            Source::Socket(_) if self.worker.drain.is_draining() => future::pending().await,
            Source::Socket(socket) => Ok(self.count(socket.accept().await?)),
        }
    }

    /// As [`accept`](Self::accept), by polling. Only the task that polled last is woken.
    ///
    /// # Errors
    /// As for [`accept`](Self::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        match &self.source {
            Source::Queue(queue) => queue.poll_accept(cx),
            Source::Socket(_) if self.worker.drain.is_draining() => Poll::Pending,
            Source::Socket(socket) => {
                socket.poll_accept(cx).map_ok(|accepted| self.count(accepted))
            }
        }
    }

    fn count(
        &self,
        (stream, peer): (tokio::net::TcpStream, SocketAddr),
    ) -> (TcpStream, SocketAddr) {
        (TcpStream::new(stream, self.worker.accounts.expect().arrived()), peer)
    }

    /// A stream of the connections, which ends when this worker drains.
    pub fn incoming(self) -> Incoming {
        let draining = self.worker.drain.draining();
        Incoming::new(self, draining)
    }

    /// The address that the socket really has, with the port that replaced a 0.
    ///
    /// # Errors
    /// None; the type is that of the plain call.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    /// The listening socket itself, non-blocking, for servers that accept on their own. This worker
    /// then takes connections from the socket, uncounted, and the master hands it none.
    ///
    /// Blocks for the master's answer, usually well under a millisecond.
    ///
    /// # Errors
    /// `TimedOut` if the master does not answer for 10 s; `EMFILE` and the like.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        match &self.source {
            Source::Socket(socket) => Ok(socket.as_fd().try_clone_to_owned()?.into()),
            Source::Queue(queue) => {
                let socket = bind::share(self.worker, queue.listener, self.addr)?;
                queue.shared.store(true, Ordering::Relaxed);
                Ok(socket.into())
            }
        }
    }
}
