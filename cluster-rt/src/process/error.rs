//! `Error`: why a child process could not be started, was ended, or failed.
//!
//! Opaque but for its kind and what had been read from the child; its text says what was run, what
//! happened, and what can be done.

use std::{
    error, fmt, io, os::unix::process::ExitStatusExt, path::PathBuf, process::ExitStatus,
    time::Duration,
};

use super::Output;
use crate::event::DisplayStatus;

/// Why a child process could not be started, was ended, or failed.
///
/// Turns into an [`io::Error`], so that `?` works in functions that return [`io::Result`]. Its `Debug` is its
/// `Display`, since that is what a `main` that returns it and `unwrap` print.
pub struct Error(Box<Inner>);

struct Inner {
    /// What was to be run, as a person would write it.
    command: String,
    cause: Cause,
    output: Option<Output>,
}

/// What kind of failure an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such program: Node's `ENOENT`.
    NotFound,
    /// The file is no program, or may not be executed: Node's `EACCES`.
    NotExecutable,
    /// The working directory is not there.
    BadDirectory,
    /// An argument, variable or path has a NUL byte, or a descriptor number cannot be used.
    InvalidInput,
    /// This process may not start a child as another user or group: Node's `EPERM`.
    PermissionDenied,
    /// It did not end in time, and was ended.
    TimedOut,
    /// It was cancelled, and was ended.
    Cancelled,
    /// It wrote more than `max_buffer`, and was ended: Node's `ERR_CHILD_PROCESS_STDIO_MAXBUFFER`.
    MaxBuffer,
    /// A signal ended it that was not sent from here.
    Signaled,
    /// It ended with a code other than 0; only from [`Output::checked`].
    Failed,
    /// The call was made outside of a tokio runtime.
    NoRuntime,
    /// Anything else that the system refused, such as a descriptor (EMFILE) or a process (EAGAIN).
    Os,
}

#[derive(Debug)]
pub(super) enum Cause {
    Spawn(io::Error),
    BadDirectory(PathBuf),
    InvalidInput(String),
    TimedOut(Duration),
    Cancelled,
    MaxBuffer { stream: &'static str, most: usize },
    Ended(ExitStatus),
    NoRuntime,
    Os { operation: &'static str, error: io::Error },
}

impl Error {
    pub(super) fn new(command: impl Into<String>, cause: Cause) -> Self {
        Self(Box::new(Inner { command: command.into(), cause, output: None }))
    }

    pub(super) fn with_output(mut self, output: Output) -> Self {
        self.0.output = Some(output);
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match &self.0.cause {
            Cause::Spawn(error) => match (error.kind(), error.raw_os_error()) {
                (io::ErrorKind::NotFound, _) => ErrorKind::NotFound,
                (_, Some(nix::libc::ENOEXEC)) => ErrorKind::NotExecutable,
                (_, Some(nix::libc::EPERM)) => ErrorKind::PermissionDenied,
                (io::ErrorKind::PermissionDenied, _) => ErrorKind::NotExecutable,
                (io::ErrorKind::InvalidInput, _) => ErrorKind::InvalidInput,
                _ => ErrorKind::Os,
            },
            Cause::BadDirectory(_) => ErrorKind::BadDirectory,
            Cause::InvalidInput(_) => ErrorKind::InvalidInput,
            Cause::TimedOut(_) => ErrorKind::TimedOut,
            Cause::Cancelled => ErrorKind::Cancelled,
            Cause::MaxBuffer { .. } => ErrorKind::MaxBuffer,
            Cause::Ended(status) if status.signal().is_some() => ErrorKind::Signaled,
            Cause::Ended(_) => ErrorKind::Failed,
            Cause::NoRuntime => ErrorKind::NoRuntime,
            Cause::Os { .. } => ErrorKind::Os,
        }
    }

    /// What the child had written until it ended or was ended; `None` if it was never started, or its
    /// streams were not collected.
    pub fn output(&self) -> Option<&Output> {
        self.0.output.as_ref()
    }

    /// The same, to keep.
    pub fn into_output(self) -> Option<Output> {
        self.0.output
    }

    /// The error of the system call behind it, such as 24 for EMFILE.
    pub fn raw_os_error(&self) -> Option<i32> {
        match &self.0.cause {
            Cause::Spawn(error) | Cause::Os { error, .. } => error.raw_os_error(),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { command, cause, output } = &*self.0;
        write!(f, "`{command}`: ")?;
        match cause {
            Cause::Spawn(error) => {
                let remedy = match self.kind() {
                    ErrorKind::NotFound => " (looked for in PATH, unless it is given with a slash)",
                    ErrorKind::NotExecutable => " (is it a program, and marked executable?)",
                    ErrorKind::PermissionDenied => {
                        " (another user or group needs root: CAP_SETUID, CAP_SETGID)"
                    }
                    _ => "",
                };
                write!(f, "{error}{remedy}")
            }
            Cause::BadDirectory(path) => {
                write!(f, "its working directory {} is not there", path.display())
            }
            Cause::InvalidInput(what) => f.write_str(what),
            Cause::TimedOut(limit) => {
                let limit = humantime::format_duration(*limit);
                write!(f, "not ended after {limit}: killed with all that it had started")
            }
            Cause::Cancelled => f.write_str("cancelled: killed with all that it had started"),
            Cause::MaxBuffer { stream, most } => {
                write!(f, "more than {most} bytes on {stream}: killed (max_buffer)")
            }
            Cause::Ended(status) => {
                write!(f, "{}", DisplayStatus(*status))?;
                let said = output.as_ref().map(|output| output.stderr_text()).unwrap_or_default();
                match said.trim_end().rsplit('\n').next() {
                    Some(last) if !last.is_empty() => write!(f, ": {last}"),
                    _ => Ok(()),
                }
            }
            Cause::NoRuntime => {
                f.write_str("not inside a tokio runtime (`output_sync` and its like need none)")
            }
            Cause::Os { operation, error } => write!(f, "{operation}: {error}"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.0.cause {
            Cause::Spawn(error) | Cause::Os { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::NotFound | ErrorKind::BadDirectory => io::ErrorKind::NotFound,
            ErrorKind::NotExecutable | ErrorKind::PermissionDenied => {
                io::ErrorKind::PermissionDenied
            }
            ErrorKind::InvalidInput => io::ErrorKind::InvalidInput,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::Cancelled => io::ErrorKind::Interrupted,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
