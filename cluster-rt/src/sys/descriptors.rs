//! What descriptors this process has open, and what the sockets among them are.
//!
//! Looks only; opens nothing that stays and closes nothing.
#![allow(unsafe_code)]

use std::{
    fs, io,
    os::fd::{BorrowedFd, RawFd},
};

use rustix::net::{
    AddressFamily, SocketAddrAny, SocketType, getpeername, getsockname,
    sockopt::{socket_acceptconn, socket_domain, socket_type},
};

/// The open sockets: number, and the kernel's name of the socket, which its copies have too.
pub(crate) fn sockets() -> io::Result<Vec<(RawFd, String)>> {
    let mut sockets = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        // The descriptor by which the directory is read is gone by then, or is none of these.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy();
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let (Some(number), true) = (number, target.starts_with("socket:")) {
            sockets.push((number, target.into_owned()));
        }
    }
    Ok(sockets)
}

/// What the socket with this number is, for a person: `descriptor 7 (TCP, connected to 10.0.0.7:5432)`.
pub(crate) fn describe(number: RawFd) -> String {
    // SAFETY: the number was listed as open a moment ago. If user code has closed it since, the calls
    // below fail or tell of another descriptor; they only read, and the borrow ends with this function.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    let kind = match (socket_domain(fd), socket_type(fd)) {
        (Ok(AddressFamily::INET | AddressFamily::INET6), Ok(SocketType::STREAM)) => "TCP",
        (Ok(AddressFamily::INET | AddressFamily::INET6), Ok(SocketType::DGRAM)) => "UDP",
        (Ok(AddressFamily::UNIX), _) => "Unix",
        (Ok(AddressFamily::NETLINK), _) => "netlink",
        _ => "a socket",
    };
    // An unconnected socket has no peer, and one of a pair has no names.
    let named = |address: SocketAddrAny| {
        let address = std::net::SocketAddr::try_from(address).ok()?;
        Some(address.to_string())
    };
    let peer = getpeername(fd).ok().flatten().and_then(named);
    let own = || getsockname(fd).ok().and_then(named);
    match (peer, own()) {
        (Some(peer), _) => format!("descriptor {number} ({kind}, connected to {peer})"),
        (None, Some(own)) if socket_acceptconn(fd) == Ok(true) => {
            format!("descriptor {number} ({kind}, listening on {own})")
        }
        (None, Some(own)) => format!("descriptor {number} ({kind}, {own})"),
        (None, None) => format!("descriptor {number} ({kind})"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_socket_is_listed_and_named_by_its_kind() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let stream = std::net::TcpStream::connect(address).expect("somebody listens");
        let datagram = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        let (unix, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let listed: Vec<RawFd> =
            sockets().expect("/proc").into_iter().map(|(number, _)| number).collect();
        for (number, part) in [
            (listener.as_raw_fd(), format!("(TCP, listening on {address})")),
            (stream.as_raw_fd(), format!("(TCP, connected to {address})")),
            (datagram.as_raw_fd(), "(UDP, 127.0.0.1:".to_owned()),
            (unix.as_raw_fd(), "(Unix)".to_owned()),
        ] {
            assert!(listed.contains(&number), "{number} in {listed:?}");
            let text = describe(number);
            assert!(text.contains(&part), "{part}: {text}");
        }
    }
}
