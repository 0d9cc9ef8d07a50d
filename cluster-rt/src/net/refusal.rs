//! The error of a bind: of the same kind as the plain call's, with the address, the cause and the remedy.

use std::{fmt, io};

use nix::libc;

use crate::{endpoint::Endpoint, wire::Wanted, worker::ANSWER_TIMEOUT};

/// What was wanted, as one would write it.
pub(super) fn wanted_words(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Tcp { addr, .. } => Endpoint::Tcp(*addr).to_string(),
        Wanted::Udp { addr, .. } => Endpoint::Udp(*addr).to_string(),
        Wanted::Unix { path } => Endpoint::Unix(path.clone()).to_string(),
        Wanted::Inherited { which, .. } => which.to_string(),
    }
}

pub(super) fn no_answer(operation: &str, what: &str) -> io::Error {
    let limit = ANSWER_TIMEOUT.as_secs();
    let text = format!("{operation} {what}: the master did not answer for {limit} s");
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// The error of `operation` for what was wanted.
pub(super) fn refused(operation: &str, wanted: &Wanted, error: io::Error) -> io::Error {
    let remedy = remedy(operation, wanted, &error);
    // The kind's words, since the system's end in a number that says nothing more.
    let cause = error.kind().to_string();
    let (operation, what) = (operation.to_owned(), wanted_words(wanted));
    io::Error::new(error.kind(), BindError { operation, what, cause, remedy, error })
}

fn remedy(operation: &str, wanted: &Wanted, error: &io::Error) -> &'static str {
    let port = match wanted {
        Wanted::Tcp { addr, .. } | Wanted::Udp { addr, .. } => addr.port(),
        _ => 0,
    };
    let is_unix = matches!(wanted, Wanted::Unix { .. });
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::PermissionDenied, _) if operation == "chown" => {
            " (to give a file to another user or group takes CAP_CHOWN: start as root, or name those that the \
             master runs as by `owner` and `group`)"
        }
        (io::ErrorKind::InvalidInput, _) if operation == "chown" => {
            " (there is no such user or group in this container: see /proc/self/uid_map)"
        }
        (io::ErrorKind::PermissionDenied, _) if port != 0 && port < 1024 => {
            " (a port under 1024 needs CAP_NET_BIND_SERVICE)"
        }
        (io::ErrorKind::PermissionDenied, _) if is_unix => {
            " (the user of the master has to be allowed to write in that directory)"
        }
        (io::ErrorKind::AddrInUse, _) if is_unix => {
            " (another program listens there, or it is no socket: then remove the file)"
        }
        (io::ErrorKind::AddrInUse, _) => " (another program listens there, or this one twice)",
        (io::ErrorKind::AddrNotAvailable, _) => " (no interface of this machine has that address)",
        (io::ErrorKind::NotFound, _) if operation == "inherit" => {
            " (the program was not started with it: see LISTEN_FDS and LISTEN_FDNAMES, or the number)"
        }
        (io::ErrorKind::NotFound, _) if is_unix => " (the directory has to be there)",
        (io::ErrorKind::InvalidInput, _) if operation == "inherit" => {
            " (it is no socket of this kind: TCP, UDP or Unix stream)"
        }
        (_, Some(libc::ESHUTDOWN)) => " (the cluster is stopping)",
        (_, Some(libc::EMFILE)) => " (raise the limit of open files, `ulimit -n`, or bind less)",
        _ => "",
    }
}

pub(super) struct BindError {
    pub(super) operation: String,
    pub(super) what: String,
    pub(super) cause: String,
    /// In parentheses, after a space; or nothing.
    pub(super) remedy: &'static str,
    pub(super) error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, what, cause, remedy, .. } = self;
        write!(f, "{operation} {what}: {cause}{remedy}")
    }
}

/// As its `Display`: a `main` that returns it, and `unwrap`, print this.
impl fmt::Debug for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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

    fn tcp(addr: &str) -> Wanted {
        Wanted::Tcp { addr: addr.parse().expect("an address"), nth: 0 }
    }

    fn message(operation: &str, wanted: &Wanted, errno: i32) -> String {
        refused(operation, wanted, io::Error::from_raw_os_error(errno)).to_string()
    }

    #[test]
    fn a_bind_error_names_operation_address_cause_and_remedy() {
        assert_eq!(
            message("bind", &tcp("0.0.0.0:80"), libc::EACCES),
            "bind 0.0.0.0:80: permission denied (a port under 1024 needs CAP_NET_BIND_SERVICE)"
        );
        assert_eq!(
            message("bind", &tcp("127.0.0.1:8080"), libc::EADDRINUSE),
            "bind 127.0.0.1:8080: address in use (another program listens there, or this one twice)"
        );
        let unix = Wanted::Unix { path: "/run/app.sock".into() };
        assert_eq!(
            message("bind", &unix, libc::ENOENT),
            "bind /run/app.sock: entity not found (the directory has to be there)"
        );
        assert_eq!(
            message("chown", &unix, libc::EPERM),
            "chown /run/app.sock: permission denied (to give a file to another user or group takes \
             CAP_CHOWN: start as root, or name those that the master runs as by `owner` and `group`)"
        );
        let which = "http".into();
        let inherited = Wanted::Inherited { which, kind: crate::wire::Kind::Tcp };
        assert_eq!(
            message("inherit", &inherited, libc::ENOENT),
            "inherit socket \"http\": entity not found (the program was not started with it: \
             see LISTEN_FDS and LISTEN_FDNAMES, or the number)"
        );
    }

    #[test]
    fn the_kind_and_the_cause_are_those_of_the_plain_call() {
        let cause = io::Error::from_raw_os_error(libc::EADDRINUSE);
        let error = refused("bind", &tcp("127.0.0.1:1"), cause);
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let source = std::error::Error::source(error.get_ref().expect("a cause"));
        let source = source.and_then(|s| s.downcast_ref::<io::Error>()).expect("an io::Error");
        assert_eq!(source.raw_os_error(), Some(libc::EADDRINUSE));
    }
}
