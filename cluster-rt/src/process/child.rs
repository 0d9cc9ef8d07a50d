//! `Child`, the handle of a child process.

use std::{fmt, process::ExitStatus, time::Instant};

use nix::libc;
pub use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::{signal::unix::SignalKind, task::AbortHandle};

use super::{Error, Events, error::Cause, tree::Tree};

/// A child process, from [`spawn`](super::spawn) or [`Command::spawn`](super::Command::spawn).
///
/// **Dropping the handle ends the child**, with all that it has started, by SIGKILL, unless it was started
/// [`detached`](super::Command::detached). (Tokio's and the standard library's let it run.)
pub struct Child {
    /// What the child reads, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// What the child writes, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// What the child complains, if that is a pipe.
    pub stderr: Option<ChildStderr>,
    pub(super) parts: Parts,
}

/// What stays together until the child is reaped.
pub(super) struct Parts {
    pub(super) tree: Tree,
    /// Ends it at its timeout or when it is cancelled.
    pub(super) watch: Option<AbortHandle>,
    pub(super) started: Instant,
    pub(super) command: String,
    pub(super) detached: bool,
}

impl Child {
    pub(super) fn new(
        parts: Parts,
        stdin: Option<ChildStdin>,
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
    ) -> Self {
        Self { stdin, stdout, stderr, parts }
    }

    /// Its process id; its process group has the same, unless its stdin is inherited.
    pub fn id(&self) -> u32 {
        self.parts.tree.pid()
    }

    /// Waits for its end and reaps it. Stdin is closed first, so that a child that reads to the end gets
    /// there; what it writes is not read by this.
    ///
    /// What it has started and left behind goes on, and so does it after the handle is dropped.
    ///
    /// # Errors
    /// The system's; none is known that can happen.
    ///
    /// # Cancel safety
    /// Cancel-safe: dropped before it resolved, it can be called again.
    pub async fn wait(&mut self) -> Result<ExitStatus, Error> {
        drop(self.stdin.take());
        let status = self.parts.tree.exited().await;
        let status = status.map_err(|error| self.parts.failed("wait", error))?;
        self.parts.close();
        Ok(status)
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.parts.tree.peek().map_err(|error| self.parts.failed("wait", error))
    }

    /// Sends a signal to it and all that it has started; returns whether somebody was there to get it:
    /// Node's `kill`. After [`wait`](Self::wait) nobody is, so that no other process can be hit whose id is
    /// the same.
    ///
    /// # Errors
    /// EINVAL for a signal that does not exist; EPERM for a child of another user.
    pub fn kill(&self, signal: SignalKind) -> Result<bool, Error> {
        let sent = self.parts.tree.signal(signal.as_raw_value());
        sent.map_err(|error| self.parts.failed("kill", error))
    }

    /// Ends it and all that it has started: SIGTERM, and after 2 s SIGKILL. Waits for its end and reaps it.
    ///
    /// # Errors
    /// The child does not end even by SIGKILL, because it hangs in the kernel.
    pub async fn end(&mut self) -> Result<ExitStatus, Error> {
        let status = self.parts.tree.end(libc::SIGTERM, super::END_GRACE).await;
        let status = status.map_err(|error| self.parts.failed("kill", error))?;
        self.parts.close();
        Ok(status)
    }

    /// What happens to the child, in Node's order; takes over stdout and stderr, if they are still here.
    pub fn events(self) -> Events {
        Events::of(self)
    }
}

impl Parts {
    pub(super) fn failed(&self, operation: &'static str, error: std::io::Error) -> Error {
        Error::new(self.command.clone(), Cause::Os { operation, error })
    }

    /// It has ended: reap it, and let whatever it has left behind go on.
    pub(super) fn close(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.abort();
        }
        self.tree.reap();
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take().filter(|_| !self.detached) {
            watch.abort();
        }
        if self.detached { self.tree.reap() } else { self.tree.destroy() }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("id", &self.id()).finish_non_exhaustive()
    }
}
