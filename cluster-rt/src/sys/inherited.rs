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
    sync::{Mutex, PoisonError},
};

use rustix::{
    io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd},
    net::{AddressFamily, SocketType, sockopt},
};

use super::socket::{address_words, set_nonblocking};
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

/// Names that are remembered because nothing has them. More than a program asks for; and a worker that asks
/// for others all the time makes nothing grow. A manager's names are at most so long.
const MISSING_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 255;

/// What was open when this process started.
#[derive(Debug, Default)]
pub(crate) struct AtStart {
    numbers: BTreeSet<RawFd>,
    named: Vec<(String, RawFd)>,
    asked: Mutex<Asked>,
    /// Who wants to be told of this process.
    pub(crate) notify: notify::Asked,
}

/// What has been asked for, until that has been told.
#[derive(Debug, Default)]
struct Asked {
    taken: BTreeSet<RawFd>,
    missing: BTreeSet<String>,
    told: bool,
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
            let end = LISTEN_FDS_START.saturating_add(count.clamp(0, 1024));
            for number in LISTEN_FDS_START..end {
                // The manager's own word for what has no name.
                let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
                if !numbers.contains(&number) {
                    continue;
                }
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
        Self { numbers, named, asked: Mutex::default(), notify }
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
        self.note(which, number);
        let number = number.ok_or_else(|| io::Error::from_raw_os_error(nix::libc::ENOENT))?;
        let socket = fcntl_dupfd_cloexec(borrowed(number), 3)?;
        if !is_of(&socket, kind) {
            return Err(io::Error::from_raw_os_error(nix::libc::EINVAL));
        }
        set_nonblocking(&socket)?;
        Ok(socket)
    }

    fn note(&self, which: &Inherited, found: Option<RawFd>) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match (found, which) {
            _ if asked.told => {}
            (Some(number), _) => {
                asked.taken.insert(number);
            }
            (None, Inherited::Name(name)) => {
                if asked.missing.len() < MISSING_MAX && name.len() <= NAME_BYTES_MAX {
                    asked.missing.insert(name.clone());
                }
            }
            (None, Inherited::Number(_)) => {}
        }
    }

    /// A warning for each socket of the service manager's that nobody has asked for yet, which waits for
    /// clients and answers none; nothing when that has been told.
    pub(crate) fn untaken(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut asked.told, true) {
            return Vec::new();
        }
        let missing: Vec<String> = asked.missing.iter().map(|name| format!("{name:?}")).collect();
        let untaken = self.named.iter().filter(|(_, number)| !asked.taken.contains(number));
        let warning = |(name, number): &(String, RawFd)| {
            let namesake = self.named.iter().find(|(other, _)| other == name);
            let what = match namesake.filter(|(_, first)| first != number) {
                Some((_, first)) => format!("that name is descriptor {first}: ask for the number"),
                None if missing.is_empty() => "no other name was asked for".to_owned(),
                None => format!("asked for: {}", missing.join(", ")),
            };
            let address = address_words(borrowed(*number));
            format!(
                "LISTEN_FDS: {name:?} (descriptor {number}, {address}) is used by nobody; {what}"
            )
        };
        // One that user code has closed meanwhile was used by that.
        untaken.filter(|(_, number)| is_open(*number)).map(warning).collect()
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

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsRawFd};

    use super::*;

    #[test]
    fn what_nobody_took_is_told_once_with_what_was_asked_for_in_vain() {
        let sockets: Vec<_> =
            (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let numbers: Vec<_> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
        let names = ["http", "https", "http"].map(str::to_owned);
        let at_start = || AtStart {
            numbers: numbers.iter().copied().collect(),
            named: names.iter().cloned().zip(numbers.iter().copied()).collect(),
            ..AtStart::default()
        };
        let told = |at: usize, what: &str| {
            let (name, number) = (&names[at], numbers[at]);
            let address = sockets[at].local_addr().expect("bound");
            format!(
                "LISTEN_FDS: {name:?} (descriptor {number}, {address}) is used by nobody; {what}"
            )
        };
        let twin = format!("that name is descriptor {}: ask for the number", numbers[0]);
        let nothing = "no other name was asked for";
        assert_eq!(at_start().untaken(), [told(0, nothing), told(1, nothing), told(2, &twin)]);

        let at_start = at_start();
        at_start.get(&"http".into(), Kind::Tcp).expect("it is there");
        at_start.get(&"web".into(), Kind::Tcp).expect_err("it is not");
        at_start.get(&numbers[2].into(), Kind::Tcp).expect("it is there");
        assert_eq!(at_start.untaken(), [told(1, "asked for: \"web\"")]);
        assert!(at_start.untaken().is_empty());
    }

    #[test]
    fn names_that_nothing_has_are_remembered_within_bounds() {
        let at_start = AtStart::default();
        for number in 0..1000 {
            let name = format!("{number}{}", "x".repeat(number));
            at_start.get(&name.into(), Kind::Tcp).expect_err("nothing is there");
        }
        let asked = at_start.asked.lock().expect("no panic");
        assert_eq!(asked.missing.len(), MISSING_MAX);
        assert!(asked.missing.iter().all(|name| name.len() <= NAME_BYTES_MAX));
    }
}
