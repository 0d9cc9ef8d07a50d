//! The handoff queue of one slot and listener: accepted connections on their way to a worker.
//!
//! One packet is one connection: its descriptor and its peer's address. The queue belongs to the slot,
//! not to a process: the master keeps both ends, and a worker gets a copy of the receiving one. What
//! waits when the worker dies is served by its replacement, or taken back by the dispatcher. There is
//! no acknowledgement and no table: a connection is in exactly one queue or in exactly one process.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::io::Errno;

use crate::{
    sys::{
        fdpass::{self, Spare},
        socket::{bytes_waiting, is_shut_down, seqpacket_pair, set_send_buffer},
    },
    wire::address::{self, ADDRESS_BYTES},
};

/// A worker with this many connections waiting is not available: the others, and then the kernel's
/// backlog, are better places to wait than behind a worker that does not take what it has.
pub(crate) const WAITING_MAX: u64 = 64;

/// The sending end's buffer. A packet with a descriptor takes some 770 bytes of kernel memory, so that
/// the socket holds about 128 packets, and POLLOUT comes when fewer than about 32 are left.
const SEND_BUFFER: usize = 48 * 1024;

/// A connection and where it came from.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: OwnedFd,
    /// `None` where clients have no address of their own, as with Unix sockets.
    pub(crate) peer: Option<SocketAddr>,
}

/// Both ends, as the master has them.
#[derive(Debug)]
pub(crate) struct Queue {
    sending: OwnedFd,
    receiving: Arc<OwnedFd>,
}

/// Why a connection was given back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The socket holds no more.
    Full,
    /// Too many descriptors are on their way for this user (ETOOMANYREFS); only time helps.
    TooManyInFlight,
    /// A worker shut the queue down; another has to be made.
    Broken,
}

impl Queue {
    pub(crate) fn new() -> io::Result<Self> {
        let (sending, receiving) = seqpacket_pair()?;
        set_send_buffer(&sending, SEND_BUFFER)?;
        Ok(Self { sending, receiving: Arc::new(receiving) })
    }

    /// The end that a worker gets a copy of.
    pub(crate) fn receiving_end(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.receiving)
    }

    /// The end to poll for room.
    pub(crate) fn sending_end(&self) -> BorrowedFd<'_> {
        self.sending.as_fd()
    }

    /// Puts a connection into the queue, or gives it back.
    pub(crate) fn send(&self, connection: Connection) -> Result<(), (Connection, Refusal)> {
        // Where there is no address, no family either.
        let bytes = connection.peer.map_or([0; ADDRESS_BYTES], address::to_bytes);
        match fdpass::send(&self.sending, &bytes, &[connection.socket.as_fd()]) {
            Ok(()) => Ok(()),
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => Err((connection, Refusal::Full)),
            Err(Errno::TOOMANYREFS) => Err((connection, Refusal::TooManyInFlight)),
            Err(_) => Err((connection, Refusal::Broken)),
        }
    }

    /// Whether a worker has shut it down and nothing waits in it.
    pub(crate) fn is_shut_down(&self) -> bool {
        is_shut_down(&*self.receiving)
    }

    /// How many connections wait; exact at the moment of the call.
    pub(crate) fn waiting(&self) -> u64 {
        waiting(&self.receiving)
    }

    /// Takes one waiting connection out again.
    pub(crate) fn take_back(&self, spare: &Spare) -> Result<Option<Connection>, Errno> {
        receive(self.receiving.as_fd(), spare)
    }
}

/// How many connections wait behind the receiving end `fd`.
pub(crate) fn waiting(fd: impl AsFd) -> u64 {
    // Every packet has the same size, so FIONREAD counts them (unix(7)).
    bytes_waiting(fd).map_or(0, |bytes| bytes / ADDRESS_BYTES as u64)
}

/// Receives one connection, or `None` if none waits.
///
/// # Errors
/// EMFILE or ENFILE while this process has no descriptor free: nothing was received then. EPIPE if
/// the queue was shut down. EBADMSG if a connection was lost: another thread took the descriptor that
/// was free (see `Spare`).
pub(crate) fn receive(fd: BorrowedFd<'_>, spare: &Spare) -> Result<Option<Connection>, Errno> {
    let mut bytes = [0; ADDRESS_BYTES];
    let packet = match spare.with(|| fdpass::receive(fd, &mut bytes)) {
        Ok(packet) => packet,
        Err(Errno::AGAIN) => return Ok(None),
        Err(error) => return Err(error),
    };
    if packet.bytes == 0 {
        return Err(Errno::PIPE);
    }
    match packet.fds.into_iter().next() {
        Some(socket) => {
            let peer = (bytes[0] != 0).then(|| address::from_bytes(bytes));
            Ok(Some(Connection { socket, peer }))
        }
        None => Err(Errno::BADMSG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(peer: &str) -> Connection {
        let (socket, _) = seqpacket_pair().expect("a pair");
        Connection { socket, peer: peer.parse().ok() }
    }

    fn spare() -> Spare {
        Spare::new(seqpacket_pair().expect("a pair").0).expect("a copy")
    }

    #[test]
    fn what_waits_is_counted_and_can_be_taken_back() {
        let queue = Queue::new().expect("a queue");
        for _ in 0..5 {
            queue.send(connection("127.0.0.1:80")).expect("room");
        }
        assert_eq!(queue.waiting(), 5);
        // A worker takes two, dies, and the next one finds the other three.
        let spare = spare();
        for left in [4, 3] {
            let end = queue.receiving_end();
            assert!(receive(end.as_fd(), &spare).expect("a queue").is_some());
            assert_eq!(queue.waiting(), left);
        }
        while queue.take_back(&spare).expect("a queue").is_some() {}
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn a_full_queue_gives_the_connection_back() {
        let queue = Queue::new().expect("a queue");
        let mut sent = 0_u64;
        let refusal = loop {
            match queue.send(connection("127.0.0.1:80")) {
                Ok(()) => sent += 1,
                Err((_, refusal)) => break refusal,
            }
        };
        assert_eq!(refusal, Refusal::Full);
        assert!(sent > WAITING_MAX, "the socket holds more than we put in: {sent}");
    }

    #[test]
    fn a_queue_shut_down_by_its_receiver_is_broken() {
        let queue = Queue::new().expect("a queue");
        rustix::net::shutdown(&*queue.receiving, rustix::net::Shutdown::Both).expect("shut down");
        let refused = queue.send(connection("127.0.0.1:80")).expect_err("broken");
        assert_eq!(refused.1, Refusal::Broken);
    }
}
