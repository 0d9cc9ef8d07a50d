//! A child and all that it starts: looking at its end, signalling, reaping.
//!
//! Signals go to the child's process group, and only while the child is not reaped: a zombie keeps its
//! pid, and so its group's number, from being used again. What leaves the group (`setsid`) is out of reach.

use std::{
    io,
    os::fd::OwnedFd,
    process::ExitStatus,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::libc;
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal},
};
use tokio::{io::unix::AsyncFd, sync::watch, time};

use crate::sys::child::peek_exit;

/// How long the child's end, and then that of its streams, is waited for after SIGKILL.
const KILL_PATIENCE: Duration = Duration::from_secs(1);

/// What ended a child from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    TimedOut,
    Cancelled,
}

/// A child process; clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Tree(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pid: Pid,
    /// It leads a process group of its own.
    leads: bool,
    exit: AsyncFd<OwnedFd>,
    /// `None` once it is reaped.
    child: Mutex<Option<tokio::process::Child>>,
    verdict: watch::Sender<Option<Verdict>>,
}

impl Tree {
    /// # Errors
    /// A pidfd is refused, for want of descriptors or by a filter of system calls. The child is ended then, since
    /// nobody would have a handle to it.
    pub(super) fn new(mut child: tokio::process::Child, leads: bool) -> io::Result<Self> {
        let raw = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = raw.ok_or(io::ErrorKind::NotFound)?;
        // It is not reaped before we say so: this is its pid, and nobody else's.
        #[allow(deprecated, reason = "its successor is younger than the tokio that is asked for")]
        let exit =
            pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from).and_then(AsyncFd::new);
        let exit = exit.inspect_err(|_| {
            // It is this one's pid still.
            let _ = if leads { kill_process_group(pid, Signal::KILL) } else { Ok(()) };
            let _ = child.start_kill();
        })?;
        let (child, verdict) = (Mutex::new(Some(child)), watch::Sender::new(None));
        Ok(Self(Arc::new(Shared { pid, leads, exit, child, verdict })))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.pid.as_raw_nonzero().get().unsigned_abs()
    }

    fn child(&self) -> MutexGuard<'_, Option<tokio::process::Child>> {
        self.0.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it has ended, if it has. It is not reaped by that.
    pub(super) fn peek(&self) -> io::Result<Option<ExitStatus>> {
        peek_exit(self.0.exit.get_ref())
    }

    /// Waits for its end; what it has started may go on. Cancel-safe.
    pub(super) async fn exited(&self) -> io::Result<ExitStatus> {
        loop {
            let mut ready = self.0.exit.readable().await?;
            match self.peek()? {
                Some(status) => return Ok(status),
                None => ready.clear_ready(),
            }
        }
    }

    /// Sends a signal, 0 to ask; `false` if nobody is there to get it.
    pub(super) fn signal(&self, number: i32) -> io::Result<bool> {
        let child = self.child();
        if child.is_none() {
            return Ok(false);
        }
        let sent = match Signal::from_named_raw(number) {
            _ if number == 0 => return Ok(self.peek()?.is_none()),
            Some(signal) if self.0.leads => kill_process_group(self.0.pid, signal),
            Some(signal) => pidfd_send_signal(self.0.exit.get_ref(), signal),
            None => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        match sent {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends it and all that it has started: `signal`, and after `grace` SIGKILL to whoever is left. Returns
    /// when the child itself has ended.
    pub(super) async fn end(&self, signal: i32, grace: Duration) -> io::Result<ExitStatus> {
        // A signal that cannot be sent is made up for by the one that follows.
        let _ = self.signal(signal);
        if let Ok(status) = time::timeout(grace, self.exited()).await {
            // What it had started had as long as it took itself.
            let _ = self.signal(libc::SIGKILL);
            return status;
        }
        let _ = self.signal(libc::SIGKILL);
        match time::timeout(KILL_PATIENCE, self.exited()).await {
            Ok(status) => status,
            Err(_) => Err(io::Error::other("it does not end by SIGKILL (it hangs in the kernel)")),
        }
    }

    /// Says why it is ended from here, the first time; whoever collects its output tells it.
    pub(super) fn condemn(&self, verdict: Verdict) {
        self.0.verdict.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert(verdict);
            first
        });
    }

    pub(super) fn verdict(&self) -> Option<Verdict> {
        *self.0.verdict.borrow()
    }

    /// Resolves when it is to be ended from here.
    pub(super) async fn condemned(&self) {
        // The sender is part of this.
        let _ = self.0.verdict.subscribe().wait_for(Option::is_some).await;
    }

    /// Reaps it; from now on it gets no signal. One that has not ended yet is reaped by tokio when it has.
    pub(super) fn reap(&self) {
        if let Some(mut child) = self.child().take() {
            let _ = child.try_wait();
        }
    }

    /// SIGKILL to it and all that it has started, and then the reap, whenever that can be.
    pub(super) fn destroy(&self) {
        let _ = self.signal(libc::SIGKILL);
        self.reap();
    }
}
