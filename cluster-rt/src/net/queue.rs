//! The worker's end of a handoff queue, driven by the user's runtime.
//!
//! A connection is received inside the `accept` that returns it, never before: what this worker does
//! not accept can still be served by another.

use std::{
    future, io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::io::Errno;
use tokio::{io::Interest, net::UnixDatagram};

use super::stream::TcpStream;
use crate::{
    handoff,
    id::ListenerId,
    sys::fdpass::Spare,
    wire::FromWorker,
    worker::{Backing, Current},
};

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) listener: ListenerId,
    /// A SEQPACKET socket, which tokio drives as it does datagrams.
    socket: UnixDatagram,
    /// What the drain looks at; there for as long as this is.
    _watched: Arc<OwnedFd>,
    worker: &'static Current,
    /// `accept` was polled, and the master knows.
    accepting: AtomicBool,
    /// This worker drains and has taken what was meant for it.
    drained: AtomicBool,
    /// The master was asked for the socket itself and need not hear that the queue is dropped.
    pub(super) shared: AtomicBool,
}

/// How soon `accept` looks again after this process had no descriptor for the next connection.
const DESCRIPTOR_RETRY: Duration = Duration::from_millis(20);

type Accepted = (TcpStream, SocketAddr);

impl Queue {
    pub(super) fn new(
        worker: &'static Current,
        listener: ListenerId,
        queue: OwnedFd,
    ) -> io::Result<Self> {
        let watched = Arc::new(queue.try_clone()?);
        worker.drain.add_queue(&watched);
        let no = || AtomicBool::new(false);
        Ok(Self {
            listener,
            socket: UnixDatagram::from_std(queue.into())?,
            _watched: watched,
            worker,
            accepting: no(),
            drained: no(),
            shared: no(),
        })
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        self.announce();
        loop {
            match self.try_accept() {
                Ok(Some(accepted)) => return Ok(accepted),
                Ok(None) if self.is_drained() => return future::pending().await,
                Ok(None) => self.socket.readable().await?,
                Err(error) if is_exhausted(&error) => tokio::time::sleep(DESCRIPTOR_RETRY).await,
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        self.announce();
        loop {
            match self.try_accept() {
                Ok(Some(accepted)) => return Poll::Ready(Ok(accepted)),
                Ok(None) if self.is_drained() => return Poll::Pending,
                Ok(None) => ready!(self.socket.poll_recv_ready(cx))?,
                Err(error) if is_exhausted(&error) => {
                    let waker = cx.waker().clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(DESCRIPTOR_RETRY).await;
                        waker.wake();
                    });
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Tells the master, once, that this worker accepts here.
    fn announce(&self) {
        if !self.accepting.load(Ordering::Relaxed) && !self.accepting.swap(true, Ordering::Relaxed)
        {
            self.worker.tell(&FromWorker::Accepting { listener: self.listener });
        }
    }

    fn try_accept(&self) -> io::Result<Option<Accepted>> {
        if self.is_drained() {
            return Ok(None);
        }
        // Asked before receiving: after the order nothing is sent, so then an empty queue stays empty.
        let draining = self.worker.drain.is_draining();
        let Backing::Master { spare, .. } = &self.worker.backing else { return Ok(None) };
        let expected = self.worker.accounts.expect();
        match self.socket.try_io(Interest::READABLE, || self.receive(spare)) {
            Ok(connection) => {
                let counted = expected.arrived();
                let stream = std::net::TcpStream::from(connection.socket);
                // The master accepted it as non-blocking.
                let stream = tokio::net::TcpStream::from_std(stream)?;
                Ok(Some((TcpStream::new(stream, counted), connection.peer)))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if draining && handoff::waiting(self.socket.as_fd()) == 0 {
                    self.drained.store(true, Ordering::Relaxed);
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn receive(&self, spare: &Spare) -> io::Result<handoff::Connection> {
        match handoff::receive(self.socket.as_fd(), spare) {
            Ok(Some(connection)) => Ok(connection),
            Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
            Err(Errno::BADMSG) => Err(io::Error::other(
                "accept: a connection was lost: another thread took the last descriptor (raise the \
                 limit of open files, `ulimit -n`)",
            )),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if !self.shared.load(Ordering::Relaxed) {
            self.worker.tell(&FromWorker::Unlisten { listener: self.listener });
        }
    }
}

/// Whether there was no descriptor for the next connection, which still waits.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
