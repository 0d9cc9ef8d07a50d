//! `UdpSocket`: one address, read by all workers of the cluster.

use std::{fmt, io, net::SocketAddr, ops::Deref};

use tokio::net::ToSocketAddrs;

use super::{
    bind::{self, Bound, How},
    options::ListenOptions,
    resolve::{no_address, resolve},
};
use crate::{
    endpoint::{Endpoint, Inherited},
    id::ListenerId,
    wire::{FromWorker, Kind, Wanted},
    worker::{Current, current},
};

/// A UDP socket shared by all workers of the cluster.
///
/// The master binds once and keeps the socket, so that datagrams wait there while workers are replaced.
/// By default all workers read from the one socket, and each datagram goes to whoever reads it first. With
/// [`Schedule::Kernel`](crate::Schedule::Kernel) each slot has a socket of its own and the kernel gives all
/// datagrams of one pair of addresses to the same one, for protocols that keep something of a peer. What
/// waits in a slot's socket waits for the slot's next worker.
///
/// By `Deref` it is tokio's socket. Datagrams are not counted: a drain does not wait for them.
///
/// With `workers = 0` it is a plain socket of this process.
pub struct UdpSocket {
    socket: tokio::net::UdpSocket,
    listener: Option<ListenerId>,
    worker: &'static Current,
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl UdpSocket {
    /// Binds `addr` for this worker: the first worker that does makes the master bind, the others share
    /// the socket. With port 0 the n-th bind is the same port in every worker.
    ///
    /// # Errors
    /// As for [`TcpListener::bind`](crate::TcpListener::bind).
    ///
    /// # Cancel safety
    /// Dropping the future can leave the address bound for this worker until the worker ends.
    pub async fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        Self::bind_with(addr, &ListenOptions::new()).await
    }

    /// As [`bind`](Self::bind), in the way that `options` say; those that are about connections have no
    /// effect.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    ///
    /// # Cancel safety
    /// As for [`bind`](Self::bind).
    pub async fn bind_with<A: ToSocketAddrs>(addr: A, options: &ListenOptions) -> io::Result<Self> {
        let worker = current("UdpSocket::bind")?;
        let addresses = resolve(addr).await?;
        let mut last = None;
        for addr in addresses {
            match bind::bind(worker, Wanted::Udp { addr, nth: 0 }, options, How::Await).await {
                Ok(bound) => return Self::new(worker, bound),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_address))
    }

    /// A socket that the program was started with, shared as one that was bound.
    ///
    /// # Errors
    /// `NotFound` if there is none of that name or number, `InvalidInput` if it is no UDP socket, and as
    /// for [`bind`](Self::bind).
    ///
    /// # Cancel safety
    /// As for [`bind`](Self::bind).
    pub async fn inherited(which: impl Into<Inherited>) -> io::Result<Self> {
        let worker = current("UdpSocket::inherited")?;
        let wanted = Wanted::Inherited { which: which.into(), kind: Kind::Udp };
        Self::new(worker, bind::bind_one(worker, wanted, &ListenOptions::new(), How::Await).await?)
    }

    fn new(worker: &'static Current, bound: Bound) -> io::Result<Self> {
        let (Endpoint::Udp(_), Some(socket)) = (bound.endpoint, bound.socket) else {
            return Err(io::Error::other("bind: the master answered with another kind of socket"));
        };
        let socket = tokio::net::UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, listener: bound.listener, worker })
    }

    /// The address that the socket really has, with the port that replaced a 0.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl Deref for UdpSocket {
    type Target = tokio::net::UdpSocket;

    fn deref(&self) -> &Self::Target {
        &self.socket
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        if let Some(listener) = self.listener {
            self.worker.tell(&FromWorker::Unlisten { listener });
        }
    }
}
