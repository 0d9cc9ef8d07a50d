//! What the master was started with: sockets, by name from a service manager or by number from a shell, and the wish
//! of a manager to be told how the service is.
//!
//! Takes note of them before anything else is opened, so that no number of a later descriptor is taken
//! for one of them. The convention of `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES` is that of
//! `sd_listen_fds(3)`.
#![allow(unsafe_code)]

use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
};

use rustix::{
    io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd},
    net::{AddressFamily, SocketType, sockopt},
};

use super::socket::set_nonblocking;
use crate::{endpoint::Inherited, notify, wire::Kind};

/// The first descriptor that a service manager hands over.
const LISTEN_FDS_START: RawFd = 3;

/// The variables of the convention, and of the one by which a service manager is told of the service.
const VARIABLES: [&str; 6] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "NOTIFY_SOCKET",
];

/// What was open when this process started.
#[derive(Debug, Default)]
pub(crate) struct AtStart {
    numbers: BTreeSet<RawFd>,
    named: Vec<(String, RawFd)>,
    /// Who wants to be told of this process.
    pub(crate) notify: notify::Asked,
}

impl AtStart {
    /// Takes note of what is open, and removes the variables that speak of it, so that no program started
    /// from here believes that they speak to it.
    pub(crate) fn take() -> Self {
        let numbers: BTreeSet<RawFd> = open_descriptors();
        let variable = |name| std::env::var(name).unwrap_or_default();
        let [pid, count, names, watchdog, watched, _] = VARIABLES.map(variable);
        let notify = notify::Asked::of(std::env::var_os("NOTIFY_SOCKET"), &watchdog, &watched);
        let mut named = Vec::new();
        if pid.parse() == Ok(std::process::id()) {
            let count: RawFd = count.parse().unwrap_or(0);
            let mut names = names.split(':');
            for number in (LISTEN_FDS_START..LISTEN_FDS_START.saturating_add(count.clamp(0, 1024)))
                .filter(|number| numbers.contains(number))
            {
                // The manager's own word for what has no name.
                let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
                named.push((name.to_owned(), number));
                // The workers get them through the master, and programs that they start not at all.
                let _ = fcntl_setfd(borrowed(number), FdFlags::CLOEXEC);
            }
        }
        for name in VARIABLES {
            // SAFETY: called by `Builder` at the start of the master, before any thread of the cluster's
            // own; under the attribute no other thread exists yet, and `Builder::run` documents that the
            // environment must not be read by other threads while it begins.
            unsafe { std::env::remove_var(name) };
        }
        Self { numbers, named, notify }
    }

    /// A copy of the socket, non-blocking, if it is of that kind.
    ///
    /// # Errors
    /// ENOENT if there was none of that name or number; EINVAL if it is no socket of that kind.
    pub(crate) fn get(&self, which: &Inherited, kind: Kind) -> io::Result<OwnedFd> {
        let number = match which {
            Inherited::Name(name) => {
                self.named.iter().find(|(given, _)| given == name).map(|(_, number)| *number)
            }
            Inherited::Number(number) => self.numbers.get(number).copied(),
        };
        let number = number.ok_or_else(|| io::Error::from_raw_os_error(nix::libc::ENOENT))?;
        let socket = fcntl_dupfd_cloexec(borrowed(number), 3)?;
        if !is_of(&socket, kind) {
            return Err(io::Error::from_raw_os_error(nix::libc::EINVAL));
        }
        set_nonblocking(&socket)?;
        Ok(socket)
    }
}

fn is_of(socket: impl AsFd, kind: Kind) -> bool {
    let (Ok(domain), Ok(of_type)) =
        (sockopt::socket_domain(&socket), sockopt::socket_type(&socket))
    else {
        return false;
    };
    let inet = matches!(domain, AddressFamily::INET | AddressFamily::INET6);
    match kind {
        Kind::Tcp => inet && of_type == SocketType::STREAM,
        Kind::Udp => inet && of_type == SocketType::DGRAM,
        Kind::Unix => domain == AddressFamily::UNIX && of_type == SocketType::STREAM,
    }
}

fn open_descriptors() -> BTreeSet<RawFd> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return BTreeSet::new() };
    let numbers: Vec<RawFd> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // What the directory itself was read by is closed again.
    numbers.into_iter().filter(|&number| number > 2 && is_open(number)).collect()
}

fn is_open(number: RawFd) -> bool {
    rustix::io::fcntl_getfd(borrowed(number)).is_ok()
}

fn borrowed(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the number is one that was open when this process started, and is used for one system
    // call: if user code has closed it since, that call fails, or concerns what was opened in its place,
    // which is then looked at like any other socket. It is never closed here.
    unsafe { BorrowedFd::borrow_raw(number) }
}
