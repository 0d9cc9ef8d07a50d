//! Sockets made with every option said: pairs for links and queues, listeners, accepting, the filter.
//!
//! Never blocks. SO_REUSEPORT is never set, so that starting a program twice is an error.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::{
        AddressFamily, SocketFlags, SocketType, acceptfrom_with, socketpair,
        sockopt::{socket_domain, socket_type},
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

/// How a TCP socket is to listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listening {
    /// Connections that the kernel completes and keeps while nobody accepts.
    pub(crate) backlog: u32,
    /// Whether an IPv6 socket leaves IPv4 alone; `None` for the system's default.
    pub(crate) v6only: Option<bool>,
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> ListenError {
    move |error| ListenError { operation, error }
}

/// A listening TCP socket bound to `addr`, with SO_REUSEADDR as std and tokio set it, so that a
/// restart does not wait for connections in TIME_WAIT.
pub(crate) fn listen_tcp(addr: SocketAddr, options: Listening) -> Result<OwnedFd, ListenError> {
    let socket = tcp_socket(addr, options)?;
    socket.bind(&addr.into()).map_err(failed("bind"))?;
    listen(&socket, options.backlog).map_err(failed("listen"))?;
    Ok(socket.into())
}

/// A listening TCP socket that others of this user can join at `addr`, if it has the address for itself
/// now: a second first one is refused.
pub(crate) fn listen_tcp_first_of_group(
    addr: SocketAddr,
    options: Listening,
) -> Result<OwnedFd, ListenError> {
    let socket = tcp_socket(addr, options)?;
    socket.bind(&addr.into()).map_err(failed("bind"))?;
    // Set after the bind, so that the bind was refused wherever anybody listens, and before it listens,
    // so that the group is made.
    socket.set_reuse_port(true).map_err(failed("setsockopt SO_REUSEPORT"))?;
    listen(&socket, options.backlog).map_err(failed("listen"))?;
    Ok(socket.into())
}

/// A listening TCP socket that joins those at `addr`.
pub(crate) fn listen_tcp_in_group(
    addr: SocketAddr,
    options: Listening,
) -> Result<OwnedFd, ListenError> {
    let socket = tcp_socket(addr, options)?;
    socket.set_reuse_port(true).map_err(failed("setsockopt SO_REUSEPORT"))?;
    socket.bind(&addr.into()).map_err(failed("bind"))?;
    listen(&socket, options.backlog).map_err(failed("listen"))?;
    Ok(socket.into())
}

fn tcp_socket(addr: SocketAddr, options: Listening) -> Result<Socket, ListenError> {
    let domain = Domain::for_address(addr);
    // socket2 adds CLOEXEC to what it makes.
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))
        .map_err(failed("socket"))?;
    socket.set_reuse_address(true).map_err(failed("setsockopt SO_REUSEADDR"))?;
    set_v6only(&socket, addr, options.v6only)?;
    Ok(socket)
}

fn set_v6only(socket: &Socket, addr: SocketAddr, v6only: Option<bool>) -> Result<(), ListenError> {
    match v6only.filter(|_| addr.is_ipv6()) {
        Some(v6only) => socket.set_only_v6(v6only).map_err(failed("setsockopt IPV6_V6ONLY")),
        None => Ok(()),
    }
}

/// Begins to listen, or changes the backlog of a socket that listens (`listen(2)`).
pub(crate) fn listen(socket: impl AsFd, backlog: u32) -> io::Result<()> {
    SockRef::from(&socket).listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

/// A UDP socket bound to `addr`; one that others of this user can join there, if it `groups`.
pub(crate) fn bind_udp(
    addr: SocketAddr,
    v6only: Option<bool>,
    group: Group,
) -> Result<OwnedFd, ListenError> {
    let socket =
        Socket::new(Domain::for_address(addr), Type::DGRAM.nonblocking(), Some(Protocol::UDP))
            .map_err(failed("socket"))?;
    set_v6only(&socket, addr, v6only)?;
    let reuse =
        |socket: &Socket| socket.set_reuse_port(true).map_err(failed("setsockopt SO_REUSEPORT"));
    if group == Group::Joins {
        reuse(&socket)?;
    }
    socket.bind(&addr.into()).map_err(failed("bind"))?;
    if group == Group::Begins {
        reuse(&socket)?;
    }
    Ok(socket.into())
}

/// Whether a socket has its address for itself, and if not, who was there first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    None,
    Begins,
    Joins,
}

/// The address that a socket is bound to.
pub(crate) fn local_addr(socket: impl AsFd) -> io::Result<SocketAddr> {
    let addr = SockRef::from(&socket).local_addr()?;
    addr.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
}

/// The path that a Unix socket is bound to.
pub(crate) fn local_path(socket: impl AsFd) -> Option<std::path::PathBuf> {
    let addr = SockRef::from(&socket).local_addr().ok()?;
    addr.as_pathname().map(std::path::Path::to_owned)
}

/// What a socket is bound to, for people; of anything else that it is none.
pub(crate) fn address_words(fd: impl AsFd) -> String {
    let Ok(addr) = SockRef::from(&fd).local_addr() else { return "no socket".to_owned() };
    let inet = addr.as_socket().map(|addr| addr.to_string());
    let path = || addr.as_pathname().map(|path| path.display().to_string());
    let name = || Some(format!("@{}", String::from_utf8_lossy(addr.as_abstract_namespace()?)));
    inet.or_else(path).or_else(name).unwrap_or_else(|| "without an address".to_owned())
}

/// Whether it is a Unix socket.
pub(crate) fn is_unix(socket: impl AsFd) -> bool {
    socket_domain(socket) == Ok(AddressFamily::UNIX)
}

/// Whether a listening socket has a connection to accept.
pub(crate) fn is_readable(socket: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&socket, PollFlags::IN)];
    let now = rustix::event::Timespec::default();
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Makes a listening Unix socket refuse who would connect, while what waits can still be accepted.
pub(crate) fn shut_for_requests(listener: impl AsFd) -> io::Result<()> {
    SockRef::from(&listener).shutdown(std::net::Shutdown::Read)
}

/// Takes one connection from a listening socket, non-blocking, with its peer's address if that is an IP
/// address.
pub(crate) fn accept(listener: impl AsFd) -> Result<(OwnedFd, Option<SocketAddr>), Errno> {
    loop {
        match acceptfrom_with(&listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok((connection, peer)) => {
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                return Ok((connection, peer));
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
