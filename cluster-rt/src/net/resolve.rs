//! Finding the addresses that a bind is for, and what to say where there are none.
//!
//! `refusal` words the errors of the binds themselves. What was asked for is in none of these errors: the types that
//! stand for addresses need not be such as can be printed, and a bound that tokio's `bind` does not have would make
//! ours no longer fit in its place.

use std::{io, net::SocketAddr};

use tokio::net::{ToSocketAddrs, lookup_host};

use super::refusal::BindError;

/// The addresses that `addr` stands for.
///
/// # Errors
/// Those of the plain call, with the remedy.
pub(super) async fn resolve<A: ToSocketAddrs>(addr: A) -> io::Result<Vec<SocketAddr>> {
    lookup_host(addr).await.map(Iterator::collect).map_err(unresolved)
}

/// As [`resolve`], on this thread.
///
/// # Errors
/// As there.
pub(crate) fn resolve_here<A: std::net::ToSocketAddrs>(addr: &A) -> io::Result<Vec<SocketAddr>> {
    addr.to_socket_addrs().map(Iterator::collect).map_err(unresolved)
}

/// The error where what was asked for stands for no address at all.
pub(crate) fn no_address() -> io::Error {
    let text = "bind: there is no address in the list (give at least one)";
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn unresolved(error: io::Error) -> io::Error {
    let remedy = match error.kind() {
        io::ErrorKind::InvalidInput => " (an address or a name, and a port: 127.0.0.1:8080)",
        _ => " (is the name right, and known here? See /etc/hosts and /etc/resolv.conf)",
    };
    let (operation, what, cause) = ("bind".to_owned(), "the address".to_owned(), error.to_string());
    io::Error::new(error.kind(), BindError { operation, what, cause, remedy, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_operation_cause_and_remedy_and_is_of_the_plain_calls_kind() {
        let error = resolve_here(&"localhost").expect_err("no port");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            "bind the address: invalid socket address (an address or a name, and a port: 127.0.0.1:8080)"
        );
        let cause = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(
            unresolved(cause).to_string(),
            "bind the address: timed out (is the name right, and known here? See /etc/hosts and /etc/resolv.conf)"
        );
    }
}
