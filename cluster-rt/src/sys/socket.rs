//! Sockets made with every option said: pairs for links and queues, listeners, accepting, the filter.
//!
//! Never blocks. SO_REUSEPORT is never set, so that starting a program twice is an error.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketFlags, SocketType, acceptfrom_with, socketpair, sockopt::socket_type,
    },
};
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

/// A pair of connected SEQPACKET sockets: packets keep their borders and descriptors stay with them.
pub(crate) fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(SocketType::SEQPACKET)
}

/// A pair of connected stream sockets.
pub(crate) fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(SocketType::STREAM)
}

fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, kind, flags, None)?)
}

/// Whether `fd` is a SEQPACKET socket, as a link is.
pub(crate) fn is_seqpacket(fd: impl AsFd) -> bool {
    socket_type(fd) == Ok(SocketType::SEQPACKET)
}

/// The call that failed, and how.
#[derive(Debug)]
pub(crate) struct ListenError {
    pub(crate) operation: &'static str,
    pub(crate) error: io::Error,
}

/// A listening TCP socket bound to `addr`, with SO_REUSEADDR as std and tokio set it, so that a
/// restart does not wait for connections in TIME_WAIT.
pub(crate) fn listen_tcp(addr: SocketAddr, backlog: u32) -> Result<OwnedFd, ListenError> {
    let failed = |operation| move |error| ListenError { operation, error };
    let domain = Domain::for_address(addr);
    // socket2 adds CLOEXEC to what it makes.
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))
        .map_err(failed("socket"))?;
    socket.set_reuse_address(true).map_err(failed("setsockopt SO_REUSEADDR"))?;
    socket.bind(&addr.into()).map_err(failed("bind"))?;
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    socket.listen(backlog).map_err(failed("listen"))?;
    Ok(socket.into())
}

/// The address that a socket is bound to.
pub(crate) fn local_addr(socket: impl AsFd) -> io::Result<SocketAddr> {
    let addr = SockRef::from(&socket).local_addr()?;
    addr.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
}

/// Takes one connection from a listening socket, non-blocking, with its peer's address.
pub(crate) fn accept(listener: impl AsFd) -> Result<(OwnedFd, SocketAddr), Errno> {
    loop {
        match acceptfrom_with(&listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok((connection, peer)) => {
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                // Only a socket that is not TCP has another kind of address.
                return Ok((connection, peer.ok_or(Errno::AFNOSUPPORT)?));
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Bounds what a socket holds of packets sent and not received: they fit while their kernel memory is
/// below twice `bytes`, and POLLOUT comes when it is below half of `bytes` (`unix(7)`, SO_SNDBUF).
pub(crate) fn set_send_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    SockRef::from(&socket).set_send_buffer_size(bytes)
}

/// Sets O_NONBLOCK on the description that all copies of the socket share.
pub(crate) fn set_nonblocking(socket: impl AsFd) -> io::Result<()> {
    SockRef::from(&socket).set_nonblocking(true)
}

/// Whether a packet socket was shut down for receiving, as far as that can be seen: not while packets
/// wait in it.
pub(crate) fn is_shut_down(socket: impl AsFd) -> bool {
    use rustix::net::{RecvFlags, recv};
    // Where empty packets are never sent, an empty one is the end (recv(2)).
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    matches!(recv(socket, &mut [0_u8; 1][..], flags), Ok((_, 0)))
}

/// Makes a listening TCP socket drop requests for new connections from now on, while those that are on
/// their way (the client has our SYN+ACK, we not yet its ACK) still arrive. A client whose SYN is dropped
/// tries again a second later, and is refused by the port that is closed then. See SO_ATTACH_FILTER in
/// `socket(7)`; the filter of a TCP socket sees packets from the TCP header on.
pub(crate) fn drop_requests(listener: impl AsFd) -> io::Result<()> {
    const FLAGS_OFFSET: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_AND_ACK: u32 = 0x12;
    SockRef::from(&listener).attach_filter(&[
        SockFilter::new(bpf::LOAD_BYTE, 0, 0, FLAGS_OFFSET),
        SockFilter::new(bpf::AND, 0, 0, SYN_AND_ACK),
        SockFilter::new(bpf::JUMP_UNLESS_EQUAL, 0, 1, SYN),
        SockFilter::new(bpf::RETURN, 0, 0, 0),
        SockFilter::new(bpf::RETURN, 0, 0, u32::MAX),
    ])
}

/// Makes a listening socket drop every packet from now on: nothing joins its backlog any more, so that
/// accepting until EAGAIN ends even under load, and closing resets nobody.
pub(crate) fn drop_all(listener: impl AsFd) -> io::Result<()> {
    SockRef::from(&listener).attach_filter(&[SockFilter::new(bpf::RETURN, 0, 0, 0)])
}

/// The codes of `linux/bpf_common.h` that the filters are made of; the operand is a constant.
mod bpf {
    /// `BPF_LD | BPF_B | BPF_ABS`
    pub(super) const LOAD_BYTE: u16 = 0x30;
    /// `BPF_ALU | BPF_AND | BPF_K`
    pub(super) const AND: u16 = 0x54;
    /// `BPF_JMP | BPF_JEQ | BPF_K`, of which the second offset is taken when it is not equal.
    pub(super) const JUMP_UNLESS_EQUAL: u16 = 0x15;
    /// `BPF_RET | BPF_K`: how many bytes of the packet pass.
    pub(super) const RETURN: u16 = 0x06;
}

/// Writes as much of `bytes` as a stream socket takes.
pub(crate) fn write(socket: impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
    use rustix::net::{SendFlags, send};
    loop {
        match send(&socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

/// Bytes waiting to be received: for a queue of packets of one size, their number times it.
pub(crate) fn bytes_waiting(socket: impl AsFd) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(socket)?)
}
