//! `Stdio`: where a stream of a child comes from or goes to.

use std::{fs::File, os::fd::OwnedFd};

use super::child::{ChildStderr, ChildStdin, ChildStdout};

/// Where a stream of a child comes from or goes to: Node's `stdio`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stdio {
    /// This process's own. A child whose stdin is inherited shares the terminal, and so the process group,
    /// of this process: then a kill reaches the child alone and not what it has started.
    Inherit,
    /// `/dev/null`: Node's `ignore`.
    Null,
    /// A pipe to this process.
    Pipe,
    /// An open file, socket or pipe.
    Fd(OwnedFd),
}

impl Stdio {
    pub(super) fn into_std(self) -> std::process::Stdio {
        match self {
            Self::Inherit => std::process::Stdio::inherit(),
            Self::Null => std::process::Stdio::null(),
            Self::Pipe => std::process::Stdio::piped(),
            Self::Fd(fd) => fd.into(),
        }
    }
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Self {
        Self::Fd(fd)
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        Self::Fd(file.into())
    }
}

/// The other end of another child's stream: what that one reads, this one writes.
impl TryFrom<ChildStdin> for Stdio {
    type Error = std::io::Error;

    fn try_from(stdin: ChildStdin) -> std::io::Result<Self> {
        stdin.into_owned_fd().map(Self::Fd)
    }
}

/// The other end of another child's stream: what that one writes, this one reads.
impl TryFrom<ChildStdout> for Stdio {
    type Error = std::io::Error;

    fn try_from(stdout: ChildStdout) -> std::io::Result<Self> {
        stdout.into_owned_fd().map(Self::Fd)
    }
}

/// The other end of another child's stream: what that one writes, this one reads.
impl TryFrom<ChildStderr> for Stdio {
    type Error = std::io::Error;

    fn try_from(stderr: ChildStderr) -> std::io::Result<Self> {
        stderr.into_owned_fd().map(Self::Fd)
    }
}
