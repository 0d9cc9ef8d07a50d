//! Asking the master for a listener, and the error of a bind as the plain call would give it.

use std::{fmt, io, net::SocketAddr, os::fd::OwnedFd, time::Duration};

use crate::{
    id::ListenerId,
    sys::socket::{self, ListenError},
    wire::FromWorker,
    worker::{ANSWER_TIMEOUT, Answer, Backing, Current},
};

/// Connections that the kernel completes and keeps while nobody accepts; it lowers this to
/// `net.core.somaxconn`, 4096 by default.
const BACKLOG: u32 = 4096;

/// A bound listener, as its worker holds it.
#[derive(Debug)]
pub(super) enum Bound {
    /// The receiving end of a handoff queue.
    Queue { listener: ListenerId, addr: SocketAddr, queue: OwnedFd },
    /// The socket itself, in a process without a master.
    Socket { socket: OwnedFd },
}

/// Binds `addr`.
pub(super) async fn bind(current: &'static Current, addr: SocketAddr) -> io::Result<Bound> {
    let Backing::Master { requests, .. } = &current.backing else {
        let failed = |e: ListenError| bind_error(e.operation, addr, e.error);
        let socket = socket::listen_tcp(addr, BACKLOG).map_err(failed)?;
        return Ok(Bound::Socket { socket });
    };
    // The n-th bind of any port 0 is the same port in every worker, since they run the same code.
    let nth = if addr.port() == 0 { current.begin_port_zero_bind() } else { 0 };
    let (request, answer) = requests.open();
    current.tell(&FromWorker::Bind { request, addr, nth, backlog: BACKLOG });
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(Ok(Answer::Bound(Ok((bound, queue))))) => {
            Ok(Bound::Queue { listener: bound.listener, addr: bound.addr, queue })
        }
        Ok(Ok(Answer::Bound(Err(refused)))) => {
            if addr.port() == 0 {
                current.abandon_port_zero_bind(nth);
            }
            let error = io::Error::from_raw_os_error(refused.errno);
            Err(bind_error(&refused.operation, addr, error))
        }
        _ => Err(no_answer("bind", addr)),
    }
}

/// Gets the listening socket behind `listener`. Blocks, but not for long: the answer is read by a
/// thread of the cluster's own.
pub(super) fn share(
    current: &'static Current,
    listener: ListenerId,
    addr: SocketAddr,
) -> io::Result<OwnedFd> {
    let Backing::Master { requests, .. } = &current.backing else {
        return Err(io::Error::other("a listener without a master is the socket itself"));
    };
    let (request, mut answer) = requests.open();
    current.tell(&FromWorker::Share { request, listener });
    let deadline = std::time::Instant::now() + ANSWER_TIMEOUT;
    while std::time::Instant::now() < deadline {
        match answer.try_recv() {
            Ok(Answer::Shared(socket)) => return Ok(socket),
            Err(tokio::sync::oneshot::error::TryRecvError::Empty) => {
                std::thread::sleep(Duration::from_micros(200));
            }
            _ => break,
        }
    }
    Err(no_answer("into_std", addr))
}

fn no_answer(operation: &str, addr: SocketAddr) -> io::Error {
    let limit = ANSWER_TIMEOUT.as_secs();
    let text = format!("{operation} {addr}: the master did not answer for {limit} s");
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// An error of the same kind as the plain call's, that names the address and the remedy.
fn bind_error(operation: &str, addr: SocketAddr, error: io::Error) -> io::Error {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied if addr.port() != 0 && addr.port() < 1024 => {
            " (a port under 1024 needs CAP_NET_BIND_SERVICE)"
        }
        io::ErrorKind::AddrInUse => " (another program listens there, or this one twice)",
        io::ErrorKind::AddrNotAvailable => " (no interface of this machine has that address)",
        _ if error.raw_os_error() == Some(nix::libc::ESHUTDOWN) => " (the cluster is stopping)",
        _ if error.raw_os_error() == Some(nix::libc::EMFILE) => {
            " (raise the limit of open files, `ulimit -n`, or bind less)"
        }
        _ => "",
    };
    let operation = operation.to_owned();
    io::Error::new(error.kind(), BindError { operation, addr, remedy, error })
}

#[derive(Debug)]
struct BindError {
    operation: String,
    addr: SocketAddr,
    remedy: &'static str,
    error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, addr, remedy, error } = self;
        // The kind's words, since the system's end in a number that says nothing more.
        write!(f, "{operation} {addr}: {}{remedy}", error.kind())
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(errno: i32, addr: &str) -> String {
        let addr = addr.parse().expect("an address");
        bind_error("bind", addr, io::Error::from_raw_os_error(errno)).to_string()
    }

    #[test]
    fn a_bind_error_names_operation_address_cause_and_remedy() {
        assert_eq!(
            message(nix::libc::EACCES, "0.0.0.0:80"),
            "bind 0.0.0.0:80: permission denied (a port under 1024 needs CAP_NET_BIND_SERVICE)"
        );
        assert_eq!(
            message(nix::libc::EADDRINUSE, "127.0.0.1:8080"),
            "bind 127.0.0.1:8080: address in use (another program listens there, or this one twice)"
        );
    }

    #[test]
    fn the_kind_and_the_cause_are_those_of_the_plain_call() {
        let cause = io::Error::from_raw_os_error(nix::libc::EADDRINUSE);
        let error = bind_error("bind", "127.0.0.1:1".parse().expect("an address"), cause);
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let source = std::error::Error::source(error.get_ref().expect("a cause"));
        let source = source.and_then(|s| s.downcast_ref::<io::Error>()).expect("an io::Error");
        assert_eq!(source.raw_os_error(), Some(nix::libc::EADDRINUSE));
    }
}
