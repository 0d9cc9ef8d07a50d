//! `Output`: what a child wrote and how it ended.

use std::{borrow::Cow, process::ExitStatus, time::Duration};

use super::error::{Cause, Error};

/// What a child wrote and how it ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Output {
    /// How it ended. For a child that was ended from here, by which signal.
    pub status: ExitStatus,
    /// What it wrote to stdout, if that was a pipe.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr, if that was a pipe.
    pub stderr: Vec<u8>,
    /// It wrote more than is here: it was ended for going over `max_buffer`.
    pub truncated: bool,
    /// Its process id, free for the kernel to use again.
    pub pid: u32,
    /// From its start to its end.
    pub elapsed: Duration,
    /// What was run, for messages.
    pub(super) command: String,
}

impl Output {
    /// Stdout as text; bytes that are none are replaced.
    pub fn stdout_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// Stderr as text; bytes that are none are replaced.
    pub fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }

    /// The output of a child that ended with 0.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`](super::ErrorKind::Failed) for another code, with the output and the last line
    /// of stderr in its text: what Node's `exec` does at once.
    pub fn checked(self) -> Result<Self, Error> {
        if self.status.success() {
            return Ok(self);
        }
        Err(Error::new(self.command.clone(), Cause::Ended(self.status)).with_output(self))
    }
}
