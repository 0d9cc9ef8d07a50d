//! What a child process does between fork and exec, and looking at its end without reaping it.
//!
//! Starts nothing itself. Everything here runs in the child as async-signal-safe calls on memory that was
//! prepared before the fork; a child gets what a program gets that a shell starts: default signals, an
//! empty mask, the limit of open files that this process was started with.
#![allow(unsafe_code)]

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd, RawFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Command, ExitStatus},
    sync::atomic::{AtomicU64, Ordering},
};

use nix::libc;
use rustix::{
    io::{Errno, fcntl_dupfd_cloexec},
    process::{WaitId, WaitIdOptions, waitid},
};

/// The soft limit of open files before this program raised it; 0 if it did not.
static NOFILE_BEFORE: AtomicU64 = AtomicU64::new(0);

/// Remembers the limit for children. A zygote gets it from the master, a worker from the zygote.
pub(crate) fn remember_nofile(limit: u64) {
    NOFILE_BEFORE.store(limit, Ordering::Relaxed);
}

/// The limit that children get, if it is another than this process's.
pub(crate) fn nofile_before() -> Option<u64> {
    Some(NOFILE_BEFORE.load(Ordering::Relaxed)).filter(|&limit| limit > 0)
}

/// How a child is set up beyond what the standard library does.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    /// A session of its own, without a terminal.
    pub(crate) session: bool,
    /// Descriptors that it is to have, under these numbers.
    pub(crate) descriptors: Vec<(RawFd, OwnedFd)>,
}

/// Numbers that are kept in use until the child is there.
///
/// The standard library has a pipe by which a failed exec is told; if it had one of the numbers that the
/// child is to find its descriptors under, it would be closed there.
#[derive(Debug)]
pub(crate) struct Reserved(#[expect(dead_code, reason = "held for its numbers")] Vec<OwnedFd>);

/// Lets the child of `command` be set up. What is returned is to be dropped after the spawn.
///
/// # Errors
/// EMFILE if there is no descriptor for the reservations.
pub(crate) fn prepare(command: &mut Command, setup: Setup) -> io::Result<Reserved> {
    let mut reserved = Vec::new();
    for (number, fd) in &setup.descriptors {
        reserved.push(fcntl_dupfd_cloexec(fd, *number)?);
    }
    let nofile = nofile_before();
    let highest = setup.descriptors.iter().map(|(number, _)| *number).max().unwrap_or(2);
    // The first place to which each is moved, so that none is overwritten before its turn.
    let mut moved = vec![-1; setup.descriptors.len()];
    let in_child = move || {
        reset_signals();
        if setup.session {
            check(new_session())?;
        }
        close_at_exec();
        for ((_, fd), moved) in setup.descriptors.iter().zip(&mut moved) {
            *moved = check(duplicate_above(fd.as_raw_fd(), highest))?;
        }
        for ((number, _), moved) in setup.descriptors.iter().zip(&moved) {
            check(duplicate_to(*moved, *number))?;
        }
        // Last: all that this process has open still is, and the numbers above may be beyond the limit.
        if let Some(limit) = nofile {
            lower_nofile(limit);
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only, all of them async-signal-safe, and neither allocates
    // nor locks: its vectors have their lengths already, and an error is one of the kernel's numbers.
    unsafe { command.pre_exec(in_child) };
    Ok(Reserved(reserved))
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn new_session() -> libc::c_int {
    // SAFETY: setsid(2) takes nothing and fails at most.
    unsafe { libc::setsid() }
}

/// Whatever this process has that is not CLOEXEC, inherited from whoever started it or opened by careless
/// code, is not for the child. Before Linux 5.11 it stays open.
fn close_at_exec() {
    let first = libc::STDERR_FILENO.unsigned_abs() + 1;
    // SAFETY: with this flag close_range(2) sets a flag of descriptors and closes none.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

fn duplicate_above(fd: RawFd, highest: RawFd) -> libc::c_int {
    // SAFETY: F_DUPFD_CLOEXEC makes a new number and touches no existing one.
    unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, highest + 1) }
}

fn duplicate_to(fd: RawFd, number: RawFd) -> libc::c_int {
    // SAFETY: in the child of a fork, which is about to exec; what the number was before is reserved by
    // us or the user's to replace, and no Rust owner of it runs here any more.
    unsafe { libc::dup2(fd, number) }
}

fn lower_nofile(limit: u64) {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a structure of theirs on this stack; a failure leaves the limit as it is.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut now) == 0 {
            now.rlim_cur = limit.min(now.rlim_max);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const now);
        }
    }
}

/// Default dispositions, those that were ignored too, and an empty mask, as libuv does.
fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the default runs no code of this process; a signal that cannot be changed is an error
        // that changes nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero set is initialized by sigemptyset before it is used.
    unsafe {
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// How the process has ended, if it has; it stays a zombie, so that its pid stays its own.
///
/// # Errors
/// ECHILD if somebody else has reaped it.
pub(crate) fn peek_exit(pidfd: impl AsFd) -> io::Result<Option<ExitStatus>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    loop {
        match waitid(WaitId::PidFd(pidfd.as_fd()), options) {
            Ok(None) => return Ok(None),
            Ok(Some(status)) => {
                // As wait(2) encodes it.
                let raw = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => code << 8,
                    (None, Some(signal)) => signal | if status.dumped() { 0x80 } else { 0 },
                    (None, None) => 0,
                };
                return Ok(Some(ExitStatus::from_raw(raw)));
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
