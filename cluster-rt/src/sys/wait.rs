//! Reaping one child by its pid, signalling by pidfd, and finding zombies nobody knows.
//!
//! Never waits for "any child": that would steal the children of the user's own code.

use std::{
    collections::HashMap,
    fs, io,
    os::fd::OwnedFd,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, pidfd_send_signal, waitpid,
    },
};

/// Reaps the child `pid` if it has ended.
///
/// # Errors
/// ECHILD if there is no such child.
pub(crate) fn reap(pid: i32) -> Result<Option<ExitStatus>, Errno> {
    let pid = Pid::from_raw(pid).ok_or(Errno::CHILD)?;
    loop {
        match waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(None) => return Ok(None),
            Ok(Some((_, status))) => return Ok(Some(ExitStatus::from_raw(status.as_raw()))),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A child that this process alone reaps, to be signalled.
#[derive(Debug)]
pub(crate) struct Child {
    pid: i32,
    /// A signal sent by it cannot go astray when the pid is used again. `None` if no descriptor was free
    /// when the child was met: it is supervised all the same.
    pidfd: Option<OwnedFd>,
}

impl Child {
    /// The child `pid`, which has not been reaped.
    pub(crate) fn new(pid: i32) -> Self {
        let open = |pid| pidfd_open(pid, PidfdFlags::empty()).ok();
        Self { pid, pidfd: Pid::from_raw(pid).and_then(open) }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// SIGKILL. A process that has ended already is no error. Without a pidfd, or where no signal may be
    /// sent by it, the signal goes to the pid: right while the child was not reaped, or so shortly before that the
    /// pid is not used again yet.
    pub(crate) fn kill(&self) -> io::Result<()> {
        self.send(Signal::KILL)
    }

    /// SIGABRT, of which by default a core file remains; otherwise as [`kill`](Self::kill).
    pub(crate) fn abort(&self) -> io::Result<()> {
        self.send(Signal::ABORT)
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        let by_pid =
            || Pid::from_raw(self.pid).ok_or(Errno::SRCH).and_then(|pid| kill_process(pid, signal));
        let sent = match self.pidfd.as_ref().map(|pidfd| pidfd_send_signal(pidfd, signal)) {
            Some(sent @ (Ok(()) | Err(Errno::SRCH))) => sent,
            // Also where a container's filter of system calls lets a pidfd be opened and no signal be sent by
            // it: a child that cannot be ended would keep a stop from its end.
            Some(Err(_)) | None => by_pid(),
        };
        match sent {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// How long a zombie that nobody knows is left to whoever may still come for it: user code that
/// started it on a thread that has ended since.
const UNKNOWN_ZOMBIE_AGE: Duration = Duration::from_secs(5);

/// Adopted processes: a subreaper, and a container's first process, gets the orphans of its workers.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    /// Zombies seen that are nobody's, and since when.
    seen: HashMap<i32, Instant>,
}

impl Orphans {
    /// Reaps the zombies among the main thread's children that `known` does not claim and that have
    /// been zombies for 5 s. Returns whether some are waiting for that.
    pub(crate) fn sweep(&mut self, now: Instant, known: impl Fn(i32) -> bool) -> bool {
        let mut zombies = HashMap::new();
        for pid in children().filter(|&pid| !known(pid) && is_zombie(pid)) {
            let since = self.seen.get(&pid).copied().unwrap_or(now);
            if now.duration_since(since) < UNKNOWN_ZOMBIE_AGE {
                zombies.insert(pid, since);
            } else {
                // Whoever reaped it first has it; either way it is gone.
                let _ = reap(pid);
            }
        }
        self.seen = zombies;
        !self.seen.is_empty()
    }
}

/// The children of the main thread: those it started and those that were adopted (`proc(5)`).
fn children() -> impl Iterator<Item = i32> {
    let path = format!("/proc/self/task/{}/children", std::process::id());
    let list = fs::read_to_string(path).unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>().into_iter()
}

fn is_zombie(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command in parentheses may hold anything, so the state is what follows the last one.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}
