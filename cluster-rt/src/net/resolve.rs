//! Finding the addresses that a bind is for, and what to say where there are none.
//!
//! `refusal` words the errors of the binds themselves.

use std::{fmt::Debug, io, net::SocketAddr};

use tokio::net::{ToSocketAddrs, lookup_host};

use super::refusal::BindError;

/// What was asked for, as one would write it, and the addresses that it stands for.
///
/// # Errors
/// Those of the plain call, with what was asked for and the remedy.
pub(super) async fn resolve<A: ToSocketAddrs + Debug>(
    addr: A,
) -> io::Result<(String, Vec<SocketAddr>)> {
    let asked = written(&addr);
    let found = lookup_host(addr).await.map(Iterator::collect);
    found.map_err(|error| unresolved(&asked, error)).map(|addresses| (asked, addresses))
}

/// As [`resolve`], on this thread.
///
/// # Errors
/// As there.
pub(crate) fn resolve_here<A: std::net::ToSocketAddrs + Debug>(
    addr: &A,
) -> io::Result<(String, Vec<SocketAddr>)> {
    let asked = written(addr);
    let found = addr.to_socket_addrs().map(Iterator::collect);
    found.map_err(|error| unresolved(&asked, error)).map(|addresses| (asked, addresses))
}

/// The error where what was asked for stands for no address at all.
pub(crate) fn no_address(asked: &str) -> io::Error {
    let text = format!("bind {asked}: there is no address in it (give at least one)");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn unresolved(asked: &str, error: io::Error) -> io::Error {
    let remedy = match error.kind() {
        io::ErrorKind::InvalidInput => " (an address or a name, and a port: 127.0.0.1:8080)",
        _ => " (is the name right, and known here? See /etc/hosts and /etc/resolv.conf)",
    };
    let (operation, what, cause) = ("bind".to_owned(), asked.to_owned(), error.to_string());
    io::Error::new(error.kind(), BindError { operation, what, cause, remedy, error })
}

/// The types that stand for addresses can all be printed for debugging: as the address, as a text in
/// quotes, or as either with a port in parentheses.
fn written(addr: &impl Debug) -> String {
    let text = format!("{addr:?}");
    let pair = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    match pair.and_then(|pair| pair.rsplit_once(", ")) {
        Some((host, port)) => format!("{}:{port}", host.trim_matches('"')),
        None => text.trim_matches('"').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn what_was_asked_for_is_written_as_one_would() {
        assert_eq!(written(&"localhots:80"), "localhots:80");
        assert_eq!(written(&&&String::from("localhots:80")), "localhots:80");
        assert_eq!(written(&("localhots", 80_u16)), "localhots:80");
        assert_eq!(written(&(Ipv4Addr::LOCALHOST, 80_u16)), "127.0.0.1:80");
        let addr: SocketAddr = "[::1]:80".parse().expect("an address");
        assert_eq!(written(&addr), "[::1]:80");
        assert_eq!(written(&&[addr, addr][..]), "[[::1]:80, [::1]:80]");
    }

    #[test]
    fn an_error_names_operation_name_cause_and_remedy_and_is_of_the_plain_calls_kind() {
        let error = resolve_here(&"localhost").expect_err("no port");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            "bind localhost: invalid socket address (an address or a name, and a port: \
             127.0.0.1:8080)"
        );
        let cause = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(
            unresolved("localhots:80", cause).to_string(),
            "bind localhots:80: timed out (is the name right, and known here? See /etc/hosts and \
             /etc/resolv.conf)"
        );
    }
}
