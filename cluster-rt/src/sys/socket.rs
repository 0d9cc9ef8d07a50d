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

/// Makes a listening socket drop every packet from now on.
///
/// What the kernel had accepted stays in the backlog; nothing joins it. Then accepting until EAGAIN
/// ends even under load, and closing resets nobody. A client whose SYN is dropped tries again and is
/// refused by the closed port. See SO_ATTACH_FILTER in `socket(7)`.
pub(crate) fn drop_all(listener: impl AsFd) -> io::Result<()> {
    /// `BPF_RET | BPF_K` with 0: pass no byte of any packet.
    const RETURN_CONSTANT: u16 = 0x06;
    SockRef::from(&listener).attach_filter(&[SockFilter::new(RETURN_CONSTANT, 0, 0, 0)])
}

/// Bytes waiting to be received: for a queue of packets of one size, their number times it.
pub(crate) fn bytes_waiting(socket: impl AsFd) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(socket)?)
}
