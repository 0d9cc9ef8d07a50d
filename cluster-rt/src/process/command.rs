//! `Command`: what to run and how, step by step.
//!
//! Collects only; starting is in `start`, collecting output in `gather`.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    future::{Future, IntoFuture},
    os::fd::OwnedFd,
    path::PathBuf,
    pin::Pin,
    time::Duration,
};

use nix::libc;
use tokio::signal::unix::SignalKind;

use super::{Child, Error, Output, Stdio, blocking, gather, start};

/// What to run and how: the options of Node's `child_process`.
///
/// Made by [`new`](Self::new), [`exec`](super::exec) or [`exec_file`](super::exec_file); run by
/// [`spawn`](Self::spawn), or by awaiting it, which collects the output:
///
/// ```
/// # fn main() -> std::io::Result<()> { tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use std::time::Duration;
///
/// use cluster::process;
///
/// let output = process::exec("echo $GREETING; echo oops >&2")
///     .env("GREETING", "hello")
///     .timeout(Duration::from_secs(5))
///     .await?;
/// assert_eq!((output.stdout_text(), output.stderr_text()), ("hello\n".into(), "oops\n".into()));
/// # Ok(()) }) }
/// ```
///
/// A child gets default signal dispositions, an empty signal mask, the limit of open files that this
/// program was started with, no descriptor but those that are named here, and no `CLUSTER_*` variable
/// that is not set here.
#[must_use = "nothing runs before it is spawned or awaited"]
pub struct Command {
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    pub(super) argv0: Option<OsString>,
    pub(super) directory: Option<PathBuf>,
    pub(super) clear_env: bool,
    /// In their order; `None` removes.
    pub(super) env: Vec<(OsString, Option<OsString>)>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) stdin: Option<Stdio>,
    pub(super) stdout: Option<Stdio>,
    pub(super) stderr: Option<Stdio>,
    pub(super) descriptors: Vec<(i32, OwnedFd)>,
    pub(super) detached: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) kill_signal: i32,
    pub(super) kill_grace: Duration,
    pub(super) max_buffer: usize,
    pub(super) input: Option<Vec<u8>>,
    pub(super) cancel: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// What Node takes as `maxBuffer` unless told otherwise.
const USUAL_MAX_BUFFER: usize = 1024 * 1024;

/// From the kill signal to SIGKILL unless told otherwise.
const USUAL_KILL_GRACE: Duration = Duration::from_secs(2);

impl Command {
    /// A program by its path, or by its name in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            argv0: None,
            directory: None,
            clear_env: false,
            env: Vec::new(),
            uid: None,
            gid: None,
            stdin: None,
            stdout: None,
            stderr: None,
            descriptors: Vec::new(),
            detached: false,
            timeout: None,
            kill_signal: libc::SIGTERM,
            kill_grace: USUAL_KILL_GRACE,
            max_buffer: USUAL_MAX_BUFFER,
            input: None,
            cancel: None,
        }
    }

    /// One more argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// What the child sees as its own name. Default: the program.
    pub fn argv0(mut self, name: impl AsRef<OsStr>) -> Self {
        self.argv0 = Some(name.as_ref().to_owned());
        self
    }

    /// The shell of an [`exec`](super::exec) line; it is called with `-c` and the line. Default: `/bin/sh`.
    pub fn shell(mut self, path: impl AsRef<OsStr>) -> Self {
        self.program = path.as_ref().to_owned();
        self
    }

    /// The working directory. Default: this process's.
    #[doc(alias = "cwd")]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Sets a variable of the child's environment, which else is this process's.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes a variable.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Lets the child's environment be only what is set after this: Node's `env`.
    pub fn env_clear(mut self) -> Self {
        self.clear_env = true;
        self.env.clear();
        self
    }

    /// Runs the child as this user, in no supplementary group. Needs root.
    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// Runs the child in this group. Needs root.
    pub fn gid(mut self, gid: u32) -> Self {
        self.gid = Some(gid);
        self
    }

    /// Where stdin comes from. Default: a pipe for [`spawn`](Self::spawn), nothing when it is awaited.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = Some(stdin.into());
        self
    }

    /// Where stdout goes. Default: a pipe.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    /// Where stderr goes. Default: a pipe.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// One more descriptor, which the child finds open under `number`, 3 or above.
    pub fn fd(mut self, number: i32, fd: impl Into<OwnedFd>) -> Self {
        self.descriptors.push((number, fd.into()));
        self
    }

    /// Starts the child in a session of its own (`setsid(2)`): it has no terminal, and dropping its handle
    /// leaves it alone.
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Ends the child, and all that it has started, after this time. Default: never.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// By which signal the child is ended. Default: SIGTERM.
    pub fn kill_signal(mut self, signal: SignalKind) -> Self {
        self.kill_signal = signal.as_raw_value();
        self
    }

    /// From that signal to SIGKILL. Default: 2 s.
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.kill_grace = grace;
        self
    }

    /// The most that is collected of each stream, in bytes; a child that writes more is ended. Default:
    /// 1 MiB.
    pub fn max_buffer(mut self, bytes: usize) -> Self {
        self.max_buffer = bytes;
        self
    }

    /// What the child reads on stdin when its output is collected.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Ends the child, and all that it has started, when this future resolves, such as
    /// `token.cancelled_owned()` of tokio-util: Node's `signal`. After the child's end it has no effect.
    pub fn cancel_on(mut self, cancelled: impl Future<Output = ()> + Send + 'static) -> Self {
        self.cancel = Some(Box::pin(cancelled));
        self
    }

    /// Starts the child; its streams are pipes unless said otherwise.
    ///
    /// # Errors
    /// See [`ErrorKind`](super::ErrorKind); no child is left by any of them.
    pub fn spawn(self) -> Result<Child, Error> {
        start::spawn(self)
    }

    /// Runs the child to its end and collects what it writes; the same as awaiting the command.
    ///
    /// Done when the child has ended and nobody has its stdout and stderr open any more.
    ///
    /// # Errors
    /// See [`ErrorKind`](super::ErrorKind); with what had been read, see [`Error::output`]. A code other
    /// than 0 is none: see [`Output::checked`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the child with all that it has started, by SIGKILL.
    pub async fn output(self) -> Result<Output, Error> {
        gather::output(self).await
    }

    /// The same for code without a runtime: waits on this thread.
    ///
    /// # Errors
    /// As there.
    pub fn output_sync(self) -> Result<Output, Error> {
        blocking::output(self)
    }

    /// The command as a person would write it, for messages.
    pub(super) fn text(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.arguments);
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        let mut text = words.join(" ");
        if text.len() > TEXT_BYTES_MAX {
            let end = (0..=TEXT_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.truncate(end);
            text.push_str("...");
        }
        text
    }
}

/// Of a long command the beginning has to do.
const TEXT_BYTES_MAX: usize = 200;

impl IntoFuture for Command {
    type Output = Result<Output, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.output())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Command").field(&self.text()).finish()
    }
}
