//! Where a listener's connections come from: a handoff queue, a socket, or both; driven by the user's
//! runtime.
//!
//! A connection is received or accepted inside the `accept` that returns it, never before: what this
//! worker does not take can still be served by another. From a socket nothing is accepted before this
//! worker has taken its seat, while it drains, and above its limit of connections.

use std::{
    future, io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use rustix::io::Errno;
use tokio::{io::Interest, net::UnixDatagram};

use super::bind::{self, Bound};
use crate::{
    endpoint::Endpoint,
    handoff,
    id::ListenerId,
    sys::{fdpass::Spare, socket, unix::SocketFile},
    wire::FromWorker,
    worker::{Backing, Counted, Current},
};

#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) endpoint: Endpoint,
    listener: Option<ListenerId>,
    queue: Option<Queue>,
    /// A listening socket, which tokio drives as it does datagrams: it only has to tell when it is ready.
    socket: Option<UnixDatagram>,
    limit: Option<u64>,
    /// Of a socket that is this process's own.
    file: Option<SocketFile>,
    pub(super) worker: &'static Current,
    /// `accept` was polled, and the master knows.
    accepting: AtomicBool,
    /// The master was asked for the socket itself and need not hear that the listener is dropped.
    shared: AtomicBool,
}

/// The receiving end of a handoff queue.
#[derive(Debug)]
struct Queue {
    /// A SEQPACKET socket, which tokio drives as it does datagrams.
    socket: UnixDatagram,
    /// What the drain looks at; there for as long as this is.
    _watched: Arc<OwnedFd>,
    /// This worker drains and has taken what was meant for it.
    drained: AtomicBool,
}

/// A connection as it arrived.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Non-blocking.
    pub(super) socket: OwnedFd,
    pub(super) peer: Option<SocketAddr>,
    pub(super) counted: Counted,
}

/// Why there is none now.
enum Nothing {
    /// One of the descriptors will tell.
    NotYet,
    /// This worker drains and has had its last.
    Over,
    /// There is no descriptor for the next connection, which still waits.
    Exhausted,
    /// This worker has as many as it may, which is this many.
    AtLimit(u64),
    /// This worker has not taken its seat.
    NotSeated,
}

/// How soon `accept` looks again after this process had no descriptor for the next connection.
const DESCRIPTOR_RETRY: Duration = Duration::from_millis(20);

/// How soon `accept` looks again after this worker was full, if no connection was closed before: those that
/// poll leave a task behind each time, and these are not to become many.
const LIMIT_LOOK: Duration = Duration::from_millis(100);

impl Acceptor {
    pub(super) fn new(
        worker: &'static Current,
        bound: Bound,
        limit: Option<u64>,
    ) -> io::Result<Self> {
        let Bound { listener, endpoint, queue, socket, file } = bound;
        let queue = queue.map(|queue| Queue::new(worker, queue)).transpose()?;
        let socket = socket.map(|socket| UnixDatagram::from_std(socket.into())).transpose()?;
        let (accepting, shared) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { endpoint, listener, queue, socket, limit, file, worker, accepting, shared })
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        self.announce();
        loop {
            match self.try_accept()? {
                Ok(accepted) => return Ok(accepted),
                Err(Nothing::Over) => return future::pending().await,
                Err(Nothing::NotYet) => self.readable().await?,
                Err(nothing) => wait_for(nothing, self.worker).await,
            }
        }
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        self.announce();
        loop {
            match self.try_accept()? {
                Ok(accepted) => return Poll::Ready(Ok(accepted)),
                Err(Nothing::Over) => return Poll::Pending,
                Err(Nothing::NotYet) => {
                    if !self.poll_readable(cx)? {
                        return Poll::Pending;
                    }
                }
                Err(nothing) => {
                    let (waker, worker) = (cx.waker().clone(), self.worker);
                    tokio::spawn(async move {
                        wait_for(nothing, worker).await;
                        waker.wake();
                    });
                    return Poll::Pending;
                }
            }
        }
    }

    async fn readable(&self) -> io::Result<()> {
        match (&self.queue, &self.socket) {
            (Some(queue), None) => queue.socket.readable().await,
            (None, Some(socket)) => socket.readable().await,
            (Some(queue), Some(socket)) => tokio::select! {
                ready = queue.socket.readable() => ready,
                ready = socket.readable() => ready,
            },
            (None, None) => future::pending().await,
        }
    }

    /// Whether one is readable; if none is, each of them will wake the task.
    fn poll_readable(&self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut ready = false;
        for socket in self.queue.iter().map(|queue| &queue.socket).chain(&self.socket) {
            if let Poll::Ready(polled) = socket.poll_recv_ready(cx) {
                polled?;
                ready = true;
            }
        }
        Ok(ready)
    }

    /// Tells the master, once, that this worker accepts here.
    fn announce(&self) {
        let Some(listener) = self.listener else { return };
        if !self.accepting.load(Ordering::Relaxed) && !self.accepting.swap(true, Ordering::Relaxed)
        {
            self.worker.tell(&FromWorker::Accepting { listener });
        }
    }

    fn try_accept(&self) -> io::Result<Result<Accepted, Nothing>> {
        let mut nothing = Nothing::Over;
        if let Some(queue) = &self.queue {
            match queue.try_receive(self.worker)? {
                Err(Nothing::Over) => {}
                Err(none) => nothing = none,
                accepted => return Ok(accepted),
            }
        }
        if let Some(socket) = &self.socket {
            match self.try_accept_from(socket)? {
                Err(Nothing::Over) => {}
                Err(none) => nothing = none,
                accepted => return Ok(accepted),
            }
        }
        Ok(Err(nothing))
    }

    fn try_accept_from(&self, door: &UnixDatagram) -> io::Result<Result<Accepted, Nothing>> {
        if self.worker.drain.is_draining() {
            return Ok(Err(Nothing::Over));
        }
        if !*self.worker.seated.borrow() {
            return Ok(Err(Nothing::NotSeated));
        }
        if let Some(limit) = self.limit.filter(|&limit| self.worker.accounts.active() >= limit) {
            return Ok(Err(Nothing::AtLimit(limit)));
        }
        let expected = self.worker.accounts.expect();
        let accept = || socket::accept(door).map_err(io::Error::from);
        match door.try_io(Interest::READABLE, accept) {
            Ok((socket, peer)) => Ok(Ok(Accepted { socket, peer, counted: expected.arrived() })),
            Err(error) => none(error),
        }
    }

    /// The listening socket itself, for servers that accept on their own.
    pub(super) fn into_socket(self) -> io::Result<OwnedFd> {
        match (self.listener, &self.socket) {
            (Some(listener), _) => {
                let socket = bind::share(self.worker, listener, &self.endpoint)?;
                self.shared.store(true, Ordering::Relaxed);
                Ok(socket)
            }
            (None, Some(socket)) => Ok(socket.as_fd().try_clone_to_owned()?),
            (None, None) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Queue {
    fn new(worker: &'static Current, queue: OwnedFd) -> io::Result<Self> {
        let watched = Arc::new(queue.try_clone()?);
        worker.drain.add_queue(&watched);
        let socket = UnixDatagram::from_std(queue.into())?;
        Ok(Self { socket, _watched: watched, drained: AtomicBool::new(false) })
    }

    fn try_receive(&self, worker: &'static Current) -> io::Result<Result<Accepted, Nothing>> {
        if self.drained.load(Ordering::Relaxed) {
            return Ok(Err(Nothing::Over));
        }
        // Asked before receiving: after the order nothing is sent, so then an empty queue stays empty.
        let draining = worker.drain.is_draining();
        let Backing::Master { spare, .. } = &worker.backing else { return Ok(Err(Nothing::Over)) };
        let expected = worker.accounts.expect();
        let receive = || receive(self.socket.as_fd(), spare);
        match self.socket.try_io(Interest::READABLE, receive) {
            Ok(handoff::Connection { socket, peer }) => {
                Ok(Ok(Accepted { socket, peer, counted: expected.arrived() }))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if draining && handoff::waiting(self.socket.as_fd()) == 0 {
                    self.drained.store(true, Ordering::Relaxed);
                    return Ok(Err(Nothing::Over));
                }
                Ok(Err(Nothing::NotYet))
            }
            Err(error) => none(error),
        }
    }
}

/// What an error of receiving or accepting means.
fn none(error: io::Error) -> io::Result<Result<Accepted, Nothing>> {
    match (error.kind(), Errno::from_io_error(&error)) {
        (io::ErrorKind::WouldBlock, _) => Ok(Err(Nothing::NotYet)),
        (_, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
            Ok(Err(Nothing::Exhausted))
        }
        // It had gone before it was accepted: the next may be fine (accept(2)).
        (_, Some(Errno::CONNABORTED | Errno::PROTO | Errno::PERM)) => Ok(Err(Nothing::NotYet)),
        _ => Err(error),
    }
}

fn receive(queue: BorrowedFd<'_>, spare: &Spare) -> io::Result<handoff::Connection> {
    match handoff::receive(queue, spare) {
        Ok(Some(connection)) => Ok(connection),
        Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
        Err(Errno::BADMSG) => Err(io::Error::other(
            "accept: a connection was lost: another thread took the last descriptor (raise the \
             limit of open files, `ulimit -n`)",
        )),
        Err(error) => Err(error.into()),
    }
}

async fn wait_for(nothing: Nothing, worker: &'static Current) {
    match nothing {
        Nothing::NotYet | Nothing::Over => {}
        Nothing::Exhausted => tokio::time::sleep(DESCRIPTOR_RETRY).await,
        Nothing::AtLimit(limit) => {
            let _ = tokio::time::timeout(LIMIT_LOOK, worker.accounts.below(limit)).await;
        }
        Nothing::NotSeated => {
            let mut seated = worker.seated.subscribe();
            // The sender is part of the worker, which lasts.
            let _ = seated.wait_for(|seated| *seated).await;
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.filter(|_| !self.shared.load(Ordering::Relaxed)) {
            self.worker.tell(&FromWorker::Unlisten { listener });
        }
        if let Some(file) = &self.file {
            file.remove();
        }
    }
}
