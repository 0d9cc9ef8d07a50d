//! This process's stderr: sent elsewhere for a while, and back.
//!
//! Knows no reason for it. Programs started meanwhile keep the other stderr.

use std::{io, os::fd::OwnedFd};

use rustix::{fs::fstat, io::fcntl_dupfd_cloexec, stdio};

/// Stderr goes elsewhere until this is restored, or for good if it is dropped.
#[derive(Debug)]
pub(crate) struct Diverted {
    /// What it was before.
    before: OwnedFd,
    to: OwnedFd,
}

/// Sends this process's stderr to `to`, for good.
pub(crate) fn set(to: &OwnedFd) {
    // dup2(2) onto an open descriptor fails for lack of nothing.
    let _ = stdio::dup2_stderr(to);
}

/// Sends this process's stderr to `to`, for a while.
pub(crate) fn divert(to: OwnedFd) -> io::Result<Diverted> {
    let before = fcntl_dupfd_cloexec(stdio::stderr(), 3)?;
    stdio::dup2_stderr(&to)?;
    Ok(Diverted { before, to })
}

impl Diverted {
    /// Sends it where it went before, unless somebody has sent it to a third place meanwhile.
    pub(crate) fn restore(self) {
        let same =
            |a: rustix::fs::Stat, b: rustix::fs::Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
        let untouched = match (fstat(stdio::stderr()), fstat(&self.to)) {
            (Ok(now), Ok(to)) => same(now, to),
            _ => false,
        };
        if untouched {
            set(&self.before);
        }
    }
}
