//! Copies of another process's descriptors: to see what they are, and to speak in its place.
//!
//! `pidfd_getfd(2)` lets a process do that to its descendants, or to any as root. A copy shares
//! everything with the original but its number, so that what is sent on it comes from the process.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketType, getsockname,
        sockopt::{socket_acceptconn, socket_domain, socket_peercred, socket_type},
    },
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use crate::proc::Process;

/// A copy of the descriptor `number` of the process; `None` if either is gone.
///
/// # Panics
/// If this system forbids it.
pub fn copy(process: &Process, number: i32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(process.pid)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    match pidfd_getfd(pidfd, number, PidfdGetfdFlags::empty()) {
        Ok(copy) => Some(copy),
        Err(Errno::BADF | Errno::SRCH) => None,
        Err(error) => panic!("pidfd_getfd of {process:?}: {error}"),
    }
}

/// What a descriptor is, in words that do not depend on the moment: sockets by family and type, pipes
/// and files by their kind, anonymous files by their name.
pub fn describe(process: &Process, number: i32, target: &Path) -> String {
    let target = target.to_string_lossy();
    if target.starts_with("pipe:") {
        return "pipe".to_owned();
    }
    if !target.starts_with("socket:") {
        return target.into_owned();
    }
    let Some(socket) = copy(process, number) else { return "gone".to_owned() };
    let listening = if socket_acceptconn(&socket) == Ok(true) { " listening" } else { "" };
    let kind = match (socket_domain(&socket), socket_type(&socket)) {
        (Ok(AddressFamily::UNIX), Ok(SocketType::SEQPACKET)) => "unix seqpacket",
        (Ok(AddressFamily::UNIX), Ok(SocketType::STREAM)) => "unix stream",
        (Ok(AddressFamily::INET), Ok(SocketType::STREAM)) => "tcp",
        (Ok(AddressFamily::INET6), Ok(SocketType::STREAM)) => "tcp6",
        other => return format!("{other:?}"),
    };
    format!("{kind}{listening}")
}

/// The addresses that the process listens on.
pub fn listening_on(process: &Process) -> Vec<SocketAddr> {
    let sockets = process.descriptors().into_keys().filter_map(|number| copy(process, number));
    let addresses = sockets
        .filter(|socket| socket_acceptconn(socket) == Ok(true))
        .filter_map(|socket| SocketAddr::try_from(getsockname(&socket).ok()?).ok());
    addresses.collect()
}

/// The worker's end of its link: the seqpacket socket that only the worker has.
///
/// # Panics
/// If there is not exactly one.
pub fn link_of(worker: &Process, master: &Process) -> OwnedFd {
    let links = seqpackets_of(worker, |target| !inodes(master).contains(target));
    let [link] = <[OwnedFd; 1]>::try_from(links).expect("one link");
    link
}

/// The worker's end of its mail lane: the stream socket that its master has made.
///
/// # Panics
/// If there is not exactly one.
pub fn mail_of(worker: &Process, master: &Process) -> OwnedFd {
    let sockets = worker.descriptors().into_keys().filter_map(|number| copy(worker, number));
    let lanes = sockets.filter(|fd| {
        let stream = socket_type(fd) == Ok(SocketType::STREAM);
        let maker = socket_peercred(fd).map(|maker| maker.pid.as_raw_nonzero().get());
        stream && socket_domain(fd) == Ok(AddressFamily::UNIX) && maker == Ok(master.pid)
    });
    let [lane] = <[OwnedFd; 1]>::try_from(lanes.collect::<Vec<_>>()).expect("one mail lane");
    lane
}

/// The worker's ends of its handoff queues: the seqpacket sockets that the master has too.
pub fn queues_of(worker: &Process, master: &Process) -> Vec<OwnedFd> {
    seqpackets_of(worker, |target| inodes(master).contains(target))
}

/// One copy for each different socket.
fn seqpackets_of(process: &Process, wanted: impl Fn(&Path) -> bool) -> Vec<OwnedFd> {
    let mut seen = BTreeSet::new();
    let sockets = process
        .descriptors()
        .into_iter()
        .filter(|(_, target)| wanted(target) && seen.insert(target.clone()))
        .filter_map(|(number, _)| copy(process, number));
    sockets.filter(|fd| socket_type(fd) == Ok(SocketType::SEQPACKET)).collect()
}

fn inodes(process: &Process) -> BTreeSet<PathBuf> {
    process.descriptors().into_values().collect()
}
