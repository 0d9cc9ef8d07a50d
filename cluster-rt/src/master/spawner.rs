//! The master's side of the zygote: its link, its process, what it is asked and what it answers.
//!
//! Decides nothing: when there is to be one, and what its end means, is the supervisor's.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    process::ExitStatus,
    sync::Arc,
};

use nix::libc;

use crate::{
    config::Credentials,
    event::DisplayStatus,
    id::WorkerId,
    link::{Link, LinkError, SendError},
    sys::{child::nofile_before, socket::seqpacket_pair, wait::Child},
    wire::{FromZygote, PROTOCOL_VERSION, ToZygote},
};

/// A zygote, from the order to start it until it is reaped.
#[derive(Debug)]
pub(super) struct ZygoteHandle {
    /// `None` once it was closed or brought garbage.
    link: Option<Link<ToZygote, FromZygote>>,
    process: Option<Child>,
    /// What it and its workers have as stderr until they are settled, if that is another than ours.
    stderr: Option<Arc<OwnedFd>>,
    /// SIGKILL as soon as there is a process.
    doomed: bool,
    /// It has said hello, so it is a program of this crate.
    greeted: bool,
    /// What it said before it went, or what was wrong with it.
    last_words: Option<String>,
}

/// What a zygote brought about.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is not up yet.
    Greeted,
    Preloading,
    Up,
    Spawned {
        worker: WorkerId,
        pid: i32,
    },
    SpawnFailed {
        worker: WorkerId,
        errno: i32,
    },
}

impl ZygoteHandle {
    /// A handle, and the end of the link that the process is to hold.
    pub(super) fn new(stderr: Option<Arc<OwnedFd>>) -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = seqpacket_pair()?;
        let link = Some(Link::new(ours));
        let handle =
            Self { link, process: None, stderr, doomed: false, greeted: false, last_words: None };
        Ok((handle, theirs))
    }

    /// What is written to stderr from now on is not the master's to keep.
    pub(super) fn settle(&mut self) {
        self.stderr = None;
    }

    pub(super) fn link(&self) -> Option<&Link<ToZygote, FromZygote>> {
        self.link.as_ref()
    }

    pub(super) fn started(&mut self, pid: i32) -> io::Result<()> {
        // Recorded whatever happens, since its reap is told by its pid.
        let process = self.process.insert(Child::new(pid));
        if self.doomed { process.kill() } else { Ok(()) }
    }

    pub(super) fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(Child::pid)
    }

    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.doomed = true;
        self.process.as_ref().map_or(Ok(()), Child::kill)
    }

    /// Why it ended: what it or its link said, else its exit.
    pub(super) fn reason(self, status: ExitStatus) -> String {
        let ended = DisplayStatus(status);
        match self.last_words {
            Some(words) => words,
            None if !self.greeted && status.code().is_some() => format!(
                "{ended} before it reached the cluster (it is no program of this crate, or its main ends before that)"
            ),
            None => ended.to_string(),
        }
    }

    /// Asks for a worker, which gets `ends`.
    pub(super) fn spawn(
        &self,
        worker: WorkerId,
        slot: usize,
        row: u32,
        ends: &super::workers::WorkerEnds,
    ) -> Result<(), SendError> {
        let link = self.link.as_ref().ok_or(SendError::Closed)?;
        let mut fds = vec![ends.link.as_fd(), ends.mail.as_fd()];
        fds.extend(self.stderr.as_ref().map(|stderr| stderr.as_fd()));
        link.send(&ToZygote::Spawn { worker, slot, row }, &fds)
    }

    /// Reads what it has to say; a new one is given the `scoreboard` and told whom to run as.
    pub(super) fn read(
        &mut self,
        scoreboard: &OwnedFd,
        credentials: Option<&Credentials>,
    ) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(link) = &self.link {
            match link.receive() {
                Ok(Some((frame, _))) => match self.take(frame, scoreboard, credentials) {
                    Ok(answer) => answers.push(answer),
                    Err(reason) => self.hang_up(reason),
                },
                Ok(None) => break,
                // The reap says how it ended.
                Err(LinkError::Closed) => self.link = None,
                Err(error) => self.hang_up(error.to_string()),
            }
        }
        answers
    }

    fn take(
        &mut self,
        frame: FromZygote,
        scoreboard: &OwnedFd,
        credentials: Option<&Credentials>,
    ) -> Result<Answer, String> {
        match frame {
            FromZygote::Hello { protocol: PROTOCOL_VERSION } => {
                self.greeted = true;
                let own = rustix::stdio::stderr();
                let mut fds = vec![scoreboard.as_fd()];
                fds.extend(self.stderr.as_ref().map(|_| own));
                let begin =
                    ToZygote::Begin { credentials: credentials.cloned(), nofile: nofile_before() };
                let begun =
                    self.link.as_ref().map_or(Err(SendError::Closed), |l| l.send(&begin, &fds));
                begun.map(|()| Answer::Greeted).map_err(|error| format!("its link: {error:?}"))
            }
            FromZygote::Hello { protocol } => {
                Err(format!("it speaks protocol {protocol}, the master {PROTOCOL_VERSION}"))
            }
            FromZygote::Preloading => Ok(Answer::Preloading),
            FromZygote::Begun => Ok(Answer::Up),
            FromZygote::Refused { reason } => Err(reason),
            FromZygote::Spawned { worker, pid } => Ok(Answer::Spawned { worker, pid }),
            FromZygote::SpawnFailed { worker, errno } => Ok(Answer::SpawnFailed { worker, errno }),
            FromZygote::ExecFailed { errno } => {
                let error = io::Error::from_raw_os_error(i32::from_ne_bytes(errno));
                Err(format!("exec: {error}{}", exec_remedy(&error)))
            }
        }
    }

    /// It cannot serve: its end follows, by itself or by SIGKILL.
    fn hang_up(&mut self, reason: String) {
        self.link = None;
        self.last_words = Some(reason);
        // If it cannot be killed now it ends by its link's end.
        let _ = self.kill();
    }
}

/// What to look at when the program could not be exec'd. The kernel's words for the first two are those of a
/// missing file and of a missing right, although the file was there and open.
fn exec_remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOENT) => {
            " (it is a script, which has to start the program and not be it, or the loader that it was linked for \
             is not on this machine: `ldd`)"
        }
        Some(libc::EACCES) => " (it is no file, or nobody may execute it: `ls -l`)",
        Some(libc::ENOEXEC) => " (it is no program, or one for another kind of machine: `file`)",
        Some(libc::ETXTBSY) => " (it is still being written: write beside it, then rename)",
        _ => "",
    }
}
