//! Listening without a runtime, for `#[cluster::main(blocking)]`: [`TcpListener`], [`Incoming`],
//! [`TcpStream`].
//!
//! ```no_run
//! use std::io::{Read, Write};
//!
//! #[cluster::main(workers = 4, respawn, blocking)]
//! fn main() -> std::io::Result<()> {
//!     let listener = cluster::blocking::TcpListener::bind("127.0.0.1:8080")?;
//!     for stream in listener.incoming() {
//!         let mut stream = stream?;
//!         std::thread::spawn(move || {
//!             let mut request = [0; 1024];
//!             let _ = stream.read(&mut request);
//!             let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
//!         });
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Streams are counted: a draining worker whose `main` has returned ends when they are closed, or at
//! `grace`. Messages are sent with [`Sending::wait`](crate::Sending::wait).

use std::{
    fmt,
    future::Future,
    io::{self, Read, Write},
    net::{SocketAddr, ToSocketAddrs},
    ops::Deref,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
};

use crate::{
    endpoint::Endpoint,
    handoff::{self, Connection},
    id::ListenerId,
    net::{
        ConnGuard, ListenOptions,
        bind::{self, Bound, How},
        resolve::{no_address, resolve_here},
    },
    sys::{
        socket,
        wake::{Wake, poll_until},
    },
    wire::{FromWorker, Wanted},
    worker::{Backing, Current, current},
};

/// As [`cluster::TcpListener`](crate::TcpListener), without a runtime.
pub struct TcpListener {
    addr: SocketAddr,
    listener: Option<ListenerId>,
    /// The receiving end of a handoff queue, which the drain looks at as well.
    queue: Option<Arc<OwnedFd>>,
    /// A socket to accept from.
    socket: Option<OwnedFd>,
    limit: Option<u64>,
    /// Rung when this worker drains.
    bell: Wake,
    /// The master was told that this worker accepts here.
    accepting: AtomicBool,
    worker: &'static Current,
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("addr", &self.addr).finish()
    }
}

/// While this worker drains, or waits for what nothing tells of: how soon to look again.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
const LOOK_LATER: Duration = Duration::from_millis(20);

/// Why there is no connection now.
enum Nothing {
    NotYet,
    /// There is no descriptor for it, or no room by the limit; or this worker has not taken its seat.
    NotNow,
    /// This worker drains and has had its last.
    Over,
}

impl TcpListener {
    /// Binds `addr` for this worker.
    ///
    /// # Errors
    /// As for [`cluster::TcpListener::bind`](crate::TcpListener::bind).
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        Self::bind_with(addr, &ListenOptions::new())
    }

    /// As [`bind`](Self::bind), in the way that `options` say.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    pub fn bind_with<A: ToSocketAddrs>(addr: A, options: &ListenOptions) -> io::Result<Self> {
        let worker = current("blocking::TcpListener::bind")?;
        let addresses = resolve_here(&addr)?;
        let mut last = None;
        for addr in addresses {
            let wanted = Wanted::Tcp { addr, nth: 0 };
            match ready(bind::bind(worker, wanted, options, How::Block)) {
                Ok(bound) => return Self::new(worker, bound, options),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_address))
    }

    fn new(worker: &'static Current, bound: Bound, options: &ListenOptions) -> io::Result<Self> {
        let Bound { listener, endpoint: Endpoint::Tcp(addr), queue, socket, .. } = bound else {
            return Err(io::Error::other("bind: the master answered with another kind of socket"));
        };
        let queue = queue.map(Arc::new);
        if let Some(queue) = &queue {
            worker.drain.add_queue(queue);
        }
        let (limit, bell) = (options.limit(), worker.drain.bell()?);
        let accepting = AtomicBool::new(false);
        Ok(Self { addr, listener, queue, socket, limit, bell, accepting, worker })
    }

    /// Waits for the next connection and its peer's address; `None` when this worker drains and has
    /// returned what was meant for it. Any number of threads may wait at once.
    ///
    /// # Errors
    /// Those of one connection, which a next call gets over.
    pub fn accept(&self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        self.announce();
        loop {
            match self.try_accept()? {
                Ok(accepted) => return Ok(Some(accepted)),
                Err(Nothing::Over) => return Ok(None),
                Err(Nothing::NotNow) => thread::sleep(LOOK_LATER),
                Err(Nothing::NotYet) => self.wait()?,
            }
        }
    }

    /// The connections, until this worker drains.
    pub fn incoming(&self) -> Incoming<'_> {
        // Whoever has this sees the drain by its end.
        self.worker.drain.observe();
        Incoming { listener: self }
    }

    /// The address that the socket really has, with the port that replaced a 0.
    ///
    /// # Errors
    /// None; the type is that of the plain call.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    /// Tells the master, once, that this worker accepts here.
    fn announce(&self) {
        let Some(listener) = self.listener else { return };
        if !self.accepting.load(Ordering::Relaxed) && !self.accepting.swap(true, Ordering::Relaxed)
        {
            self.worker.tell(&FromWorker::Accepting { listener });
        }
    }

    fn try_accept(&self) -> io::Result<Result<(TcpStream, SocketAddr), Nothing>> {
        // Asked before receiving: after the order nothing is sent, so then an empty queue stays empty.
        let draining = self.worker.drain.is_draining();
        let expected = self.worker.accounts.expect();
        let connection = match self.receive(draining) {
            Ok(Some(connection)) => connection,
            Ok(None) if draining => return Ok(Err(self.is_over())),
            Ok(None) => return Ok(Err(self.why_nothing())),
            Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                return Ok(Err(Nothing::NotNow));
            }
            Err(Errno::CONNABORTED | Errno::PROTO | Errno::PERM) => {
                return Ok(Err(Nothing::NotYet));
            }
            Err(error) => return Err(error.into()),
        };
        let guard = ConnGuard(expected.arrived());
        let stream = std::net::TcpStream::from(connection.socket);
        stream.set_nonblocking(false)?;
        let peer = connection.peer.map_or_else(|| stream.peer_addr(), Ok)?;
        Ok(Ok((TcpStream { stream, guard }, peer)))
    }

    fn receive(&self, draining: bool) -> Result<Option<Connection>, Errno> {
        if let (Some(queue), Backing::Master { spare, .. }) = (&self.queue, &self.worker.backing) {
            if let Some(connection) = handoff::receive(queue.as_fd(), spare)? {
                return Ok(Some(connection));
            }
        }
        let Some(door) = self.socket.as_ref().filter(|_| !draining && self.has_room()) else {
            return Ok(None);
        };
        match socket::accept(door) {
            Ok((socket, peer)) => Ok(Some(Connection { socket, peer })),
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether this worker may take connections from a socket.
    fn has_room(&self) -> bool {
        let below = |limit| self.worker.accounts.active() <= limit;
        *self.worker.seated.borrow() && self.limit.is_none_or(below)
    }

    fn why_nothing(&self) -> Nothing {
        match self.socket {
            Some(_) if !self.has_room() => Nothing::NotNow,
            _ => Nothing::NotYet,
        }
    }

    fn is_over(&self) -> Nothing {
        match &self.queue {
            Some(queue) if handoff::waiting(queue.as_fd()) > 0 => Nothing::NotYet,
            _ => Nothing::Over,
        }
    }

    /// Waits until something may have come, or this worker drains.
    fn wait(&self) -> io::Result<()> {
        let mut fds = Vec::with_capacity(3);
        let draining = self.worker.drain.is_draining();
        let ends = self.queue.iter().map(|queue| queue.as_fd());
        for fd in ends.chain(self.socket.iter().map(AsFd::as_fd)) {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        if !draining {
            fds.push(PollFd::new(&self.bell, PollFlags::IN));
        }
        let look = draining.then(|| Instant::now() + LOOK_AGAIN);
        poll_until(&mut fds, look).map(drop)
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        if let Some(listener) = self.listener {
            self.worker.tell(&FromWorker::Unlisten { listener });
        }
    }
}

/// The connections of a [`TcpListener`], until its worker drains.
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    /// An `Err` is one connection's; the next item may be fine.
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().transpose()?.map(|(stream, _peer)| stream))
    }
}

/// A connection, as std has it, counted for as long as it is open.
#[derive(Debug)]
pub struct TcpStream {
    // Before the guard, so that the connection is closed before it counts as closed.
    stream: std::net::TcpStream,
    guard: ConnGuard,
}

impl TcpStream {
    /// Std's stream, and the guard to keep for as long as it is open.
    pub fn into_parts(self) -> (std::net::TcpStream, ConnGuard) {
        self.guard.0.mark_read();
        (self.stream, self.guard)
    }
}

impl Deref for TcpStream {
    type Target = std::net::TcpStream;

    fn deref(&self) -> &Self::Target {
        &self.stream
    }
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer);
        self.guard.0.mark_read();
        read
    }
}

impl Write for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

/// The output of a future that waits for nothing.
fn ready<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => Err(io::Error::other("bind: a future that has to be ready is not")),
    }
}
