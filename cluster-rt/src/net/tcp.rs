//! `TcpListener`: feels like tokio's, gets its connections from the master.
//!
//! This file is the face; `acceptor` takes connections, `bind` asks the master.

use std::{
    fmt, io,
    net::SocketAddr,
    task::{Context, Poll},
};

use tokio::net::ToSocketAddrs;

use super::{
    acceptor::{Accepted, Acceptor},
    bind::{self, Bound, How},
    incoming::Incoming,
    options::ListenOptions,
    resolve::{no_address, resolve},
    stream::TcpStream,
};
use crate::{
    endpoint::{Endpoint, Inherited},
    wire::{Kind, Wanted},
    worker::{Current, current},
};

/// A TCP listener shared by all workers of the cluster.
///
/// Every worker binds the same address and gets its share of the connections: the master owns the
/// socket, accepts, and hands each connection to the slot whose turn it is (Node's `SCHED_RR`), or shares
/// them as another [`Schedule`](crate::Schedule) says. The socket stays open while workers crash and are
/// replaced, so that nobody is refused meanwhile; a connection that waits for a worker that dies is
/// served by another.
///
/// With `workers = 0` it is a plain listener of this process.
#[doc(alias = "SCHED_RR")]
pub struct TcpListener {
    addr: SocketAddr,
    acceptor: Acceptor,
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
        Self::bind_with(addr, &ListenOptions::new()).await
    }

    /// As [`bind`](Self::bind), in the way that `options` say.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    ///
    /// # Cancel safety
    /// As for [`bind`](Self::bind).
    pub async fn bind_with<A: ToSocketAddrs>(addr: A, options: &ListenOptions) -> io::Result<Self> {
        let worker = current("TcpListener::bind")?;
        let addresses = resolve(addr).await?;
        let mut last = None;
        for addr in addresses {
            match bind::bind(worker, Wanted::Tcp { addr, nth: 0 }, options, How::Await).await {
                Ok(bound) => return Self::new(worker, bound, options),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_address))
    }

    /// A listener on a socket that the program was started with, shared as one that was bound.
    ///
    /// # Errors
    /// `NotFound` if there is none of that name or number, `InvalidInput` if it is no TCP socket, and as
    /// for [`bind`](Self::bind).
    ///
    /// # Cancel safety
    /// As for [`bind`](Self::bind).
    pub async fn inherited(which: impl Into<Inherited>) -> io::Result<Self> {
        let worker = current("TcpListener::inherited")?;
        let (wanted, options) =
            (Wanted::Inherited { which: which.into(), kind: Kind::Tcp }, ListenOptions::new());
        Self::new(worker, bind::bind_one(worker, wanted, &options, How::Await).await?, &options)
    }

    fn new(worker: &'static Current, bound: Bound, options: &ListenOptions) -> io::Result<Self> {
        let Endpoint::Tcp(addr) = bound.endpoint else {
            return Err(io::Error::other("bind: the master answered with another kind of socket"));
        };
        Ok(Self { addr, acceptor: Acceptor::new(worker, bound, options.limit())? })
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
        stream_of(self.acceptor.accept().await?)
    }

    /// As [`accept`](Self::accept), by polling. Only the task that polled last is woken.
    ///
    /// # Errors
    /// As for [`accept`](Self::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.acceptor.poll_accept(cx).map(|accepted| stream_of(accepted?))
    }

    /// A stream of the connections, which ends when this worker drains.
    pub fn incoming(self) -> Incoming {
        let draining = self.acceptor.worker.drain.draining();
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
        self.acceptor.into_socket().map(std::net::TcpListener::from)
    }
}

fn stream_of(Accepted { socket, peer, counted }: Accepted) -> io::Result<(TcpStream, SocketAddr)> {
    let stream = tokio::net::TcpStream::from_std(socket.into())?;
    let peer = peer.map_or_else(|| stream.peer_addr(), Ok)?;
    Ok((TcpStream::new(stream, counted), peer))
}
