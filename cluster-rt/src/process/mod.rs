//! Child processes: Node's `child_process` for Rust, and what Node cannot.
//!
//! | Node | here | |
//! |---|---|---|
//! | `spawn(file, args)` | [`spawn`] | streams |
//! | `exec(line)` | [`exec`] | a shell line, its output collected |
//! | `execFile(file, args)` | [`exec_file`] | the same without a shell |
//! | `fork(module)` | [`fork`] | a function of this program in a process of its own, with a typed channel |
//! | `spawnSync`, `execSync`, `execFileSync` | [`spawn_sync`], [`exec_sync`], [`exec_file_sync`] | for code without a runtime |
//!
//! All options are methods of [`Command`]. Beyond Node:
//!
//! * A timeout, a cancellation and a dropped handle end the child *and all that it has started*: each child
//!   leads a process group, and is reaped last, so that no signal can hit a process of the same number.
//! * A child has no descriptor, signal setting, limit or variable of this program's that it should not.
//! * [`pipeline`] connects children without a copy through this process.
//!
//! It works in the master's branch, in workers, and in programs that are no cluster; it needs a tokio
//! runtime with I/O and time enabled, but for the `_sync` functions. Reaping is tokio's, of the children
//! that were started here and no others.

mod blocking;
mod child;
mod command;
mod error;
mod events;
pub(crate) mod fork;
mod gather;
mod output;
mod pipeline;
mod start;
mod stdio;
mod tree;

use std::{ffi::OsStr, time::Duration};

pub use self::{
    child::{Child, ChildStderr, ChildStdin, ChildStdout},
    command::Command,
    error::{Error, ErrorKind},
    events::{Event, Events},
    fork::{ChildFuture, Fork, Forking, Parent, Receiver, Sender, Sending, fork},
    output::Output,
    pipeline::{Piped, pipeline},
    stdio::Stdio,
};

/// What generated code and `Builder` need.
pub(crate) mod private {
    pub(crate) use super::fork::prologue;
    pub use super::fork::{CHILDREN, Connection, Entry, Marked, Tag, run_child};
}

/// From SIGTERM to SIGKILL in [`Child::end`].
const END_GRACE: Duration = Duration::from_secs(2);

/// Starts a program with pipes for stdin, stdout and stderr: Node's `spawn`.
///
/// ```
/// # fn main() -> std::io::Result<()> { tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use cluster::process::{self, Event};
///
/// let mut events = process::spawn("echo", ["hello"])?.events();
/// while let Some(event) = events.recv().await {
///     if let Event::Stdout(bytes) = event {
///         assert_eq!(bytes, b"hello\n");
///     }
/// }
/// # Ok(()) }) }
/// ```
///
/// # Errors
/// See [`ErrorKind`].
pub fn spawn(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<Child, Error> {
    Command::new(program).args(arguments).spawn()
}

/// A line for `/bin/sh`, to be awaited for its output: Node's `exec`. (Not `exec(2)`, which replaces this
/// process: that is the standard library's `CommandExt::exec`.)
///
/// Never put words of a stranger's into the line: the shell would carry them out. [`exec_file`] takes
/// them as arguments.
///
/// ```
/// # fn main() -> std::io::Result<()> { tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let output = cluster::process::exec("echo one two | wc -w").await?.checked()?;
/// assert_eq!(output.stdout_text().trim(), "2");
/// # Ok(()) }) }
/// ```
pub fn exec(line: impl AsRef<OsStr>) -> Command {
    Command::new("/bin/sh").arg("-c").arg(line)
}

/// A program and its arguments, to be awaited for its output: Node's `execFile`.
///
/// ```
/// # fn main() -> std::io::Result<()> { tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let output = cluster::process::exec_file("printf", ["%s", "$HOME; not a shell"]).await?;
/// assert_eq!(output.stdout_text(), "$HOME; not a shell");
/// # Ok(()) }) }
/// ```
pub fn exec_file(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Command {
    Command::new(program).args(arguments)
}

/// Runs a program to its end, waiting on this thread: Node's `spawnSync`.
///
/// # Errors
/// As for [`Command::output`].
pub fn spawn_sync(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<Output, Error> {
    exec_file(program, arguments).output_sync()
}

/// Runs a line for `/bin/sh` to its end, waiting on this thread: Node's `execSync`.
///
/// # Errors
/// As for [`Command::output`].
pub fn exec_sync(line: impl AsRef<OsStr>) -> Result<Output, Error> {
    exec(line).output_sync()
}

/// The same as [`spawn_sync`], under the name of Node's `execFileSync`.
///
/// # Errors
/// As for [`Command::output`].
pub fn exec_file_sync(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<Output, Error> {
    spawn_sync(program, arguments)
}
