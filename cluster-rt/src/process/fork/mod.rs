//! `fork`: a function of this program in a process of its own, with a typed channel both ways.
//!
//! The child is this program, exec'd again from the inode that runs here; its prologue finds the function by
//! name and runs it instead of `main`. So nothing of this process's memory, threads or descriptors is there.

mod channel;
mod entry;
pub(crate) mod frames;
mod parent;

use std::{
    fmt,
    future::Future,
    io::Write as _,
    marker::PhantomData,
    os::fd::OwnedFd,
    pin::Pin,
    process::{ExitStatus, Termination},
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use tokio::signal::unix::SignalKind;

pub use self::{
    channel::{Receiver, Sender, Sending},
    entry::{CHILDREN, ChildFuture, Connection, Entry},
    parent::Parent,
};
use super::{Child, Command, Stdio};
use crate::{
    error::{Cause, Error},
    message::ClusterMessage,
    sys::{process, socket},
    wire::PROTOCOL_VERSION,
};

/// The number under which a child finds its end of the channel.
const CHANNEL_FD: i32 = 3;

/// What a program exits with that is no child though it was started as one (EX_CONFIG).
const NO_CHILD: i32 = 78;

/// This process came by `Builder` or the attribute, so that a copy of it would find its way.
static HAS_PROLOGUE: AtomicBool = AtomicBool::new(false);

/// A forked child: send it `In`, receive `Out`.
///
/// **Dropping the handle ends the child**, with all that it has started, by SIGKILL.
pub struct Fork<In, Out> {
    child: Child,
    /// `None` after `disconnect`.
    sender: Option<Sender<In>>,
    receiver: Receiver<Out>,
}

/// Runs a function that is marked [`#[cluster::child]`](crate::child) in a process of its own: Node's `fork`.
///
/// The function is named, not called: `process::fork(counter).await?`. It works in the master's branch, in
/// workers and with `workers = 0`; the child is this very program, whatever is at its path by now.
///
/// Its stdout and stderr are this process's, its stdin is empty. It gets this program's arguments and
/// environment, without the `CLUSTER_*` variables.
///
/// # Errors
/// This process's `main` has neither the attribute nor a `Builder`, so that the child would run `main`
/// again; there are two functions of this name; the system refuses a process or descriptor.
///
/// # Panics
/// Awaited outside of a tokio runtime with I/O and time.
///
/// # Cancel safety
/// Nothing is started before the first poll, and everything with it.
pub fn fork<F, Fut, Out, In>(function: F) -> Forking<In, Out>
where
    F: FnOnce(Parent<Out, In>) -> Fut,
    Fut: ChildFuture,
    Out: ClusterMessage,
    In: ClusterMessage,
{
    // Its type says all; it is called in the child.
    drop(function);
    Forking { entry: Fut::entry(), channel: PhantomData }
}

/// The future of [`fork`]: resolves to the handle when the child's process exists.
#[must_use = "nothing is started before this is awaited"]
pub struct Forking<In, Out> {
    entry: &'static Entry,
    channel: PhantomData<fn(In) -> Out>,
}

impl<In: ClusterMessage, Out: ClusterMessage> Future for Forking<In, Out> {
    type Output = Result<Fork<In, Out>, Error>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(start(self.entry))
    }
}

impl<In, Out> fmt::Debug for Forking<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forking").field("entry", &self.entry.name).finish()
    }
}

fn start<In: ClusterMessage, Out: ClusterMessage>(entry: &Entry) -> Result<Fork<In, Out>, Error> {
    let name = entry.name;
    let failed = |what: String| Error::new("fork", name, Cause::Failed(what));
    if !HAS_PROLOGUE.load(Ordering::Relaxed) {
        let text = "main has neither #[cluster::main] nor a cluster::Builder, so the child would run \
                    main again";
        return Err(failed(text.to_owned()));
    }
    entry::find(name).map_err(failed)?;
    let (ours, theirs) = socket::stream_pair().map_err(|e| failed(format!("socketpair: {e}")))?;
    let mut arguments = std::env::args_os();
    let argv0 = arguments.next().unwrap_or_default();
    let child = Command::new("/proc/self/exe")
        .argv0(argv0)
        .args(arguments)
        .env(process::CHILD_VARIABLE, format!("{PROTOCOL_VERSION}.{CHANNEL_FD}.{name}"))
        .stdin(Stdio::Null)
        .stdout(Stdio::Inherit)
        .stderr(Stdio::Inherit)
        .fd(CHANNEL_FD, theirs)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let opened = channel::open(ours);
    let (sender, receiver) = opened.map_err(|error| failed(format!("its channel: {error}")))?;
    Ok(Fork { child, sender: Some(sender), receiver })
}

impl<In: ClusterMessage, Out: ClusterMessage> Fork<In, Out> {
    /// Sends the child a message; see [`Sender::send`]. After [`disconnect`](Self::disconnect) it is an error.
    pub fn send(&self, message: &In) -> Sending {
        match &self.sender {
            Some(sender) => sender.send(message),
            None => Sending::refused::<In>(),
        }
    }

    /// Sends the child a message and a descriptor; see [`Sender::send_with_fd`].
    pub fn send_with_fd(&self, message: &In, fd: impl Into<OwnedFd>) -> Sending {
        match &self.sender {
            Some(sender) => sender.send_with_fd(message, fd),
            None => Sending::refused::<In>(),
        }
    }

    /// Another way to send, for a task of its own; `None` after [`disconnect`](Self::disconnect). The child
    /// sees the end of the channel when all of them are gone.
    pub fn sender(&self) -> Option<Sender<In>> {
        self.sender.clone()
    }

    /// The child's next message; see [`Receiver::recv`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv(&mut self) -> Option<Result<Out, Error>> {
        self.receiver.recv().await
    }

    /// The child's next message and the descriptor that came along; see [`Receiver::recv_with_fd`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv_with_fd(&mut self) -> Option<Result<(Out, Option<OwnedFd>), Error>> {
        self.receiver.recv_with_fd().await
    }

    /// Sends nothing more: when the child has received everything, its `recv` returns `None`. What it
    /// sends still comes. Node's `disconnect`.
    ///
    /// # Errors
    /// It was called before: Node's `ERR_IPC_DISCONNECTED`.
    pub fn disconnect(&mut self) -> Result<(), Error> {
        match self.sender.take() {
            Some(_) => Ok(()),
            None => Err(Error::new("disconnect", "a child", Cause::Unreachable(DISCONNECTED))),
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end and reaps it; see [`Child::wait`].
    ///
    /// # Errors
    /// As there.
    pub async fn wait(&mut self) -> Result<ExitStatus, super::Error> {
        self.child.wait().await
    }

    /// Sends a signal to it and all that it has started; see [`Child::kill`].
    ///
    /// # Errors
    /// As there.
    pub fn kill(&self, signal: SignalKind) -> Result<bool, super::Error> {
        self.child.kill(signal)
    }
}

const DISCONNECTED: &str = "this side has disconnected";

impl Sending {
    fn refused<M: ClusterMessage>() -> Self {
        Self::failed(Error::new("send", M::NAME, Cause::Unreachable(DISCONNECTED)))
    }
}

impl<In, Out> fmt::Debug for Fork<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fork").field("id", &self.child.id()).finish_non_exhaustive()
    }
}

/// What `Builder` does first of all: if this process is a forked child, runs its function and returns the
/// exit code; else notes that children of this process will find their way.
pub(crate) fn prologue() -> Option<i32> {
    let variable = process::take_child_variable();
    HAS_PROLOGUE.store(true, Ordering::Relaxed);
    let complain = |reason: String| {
        // A closed stderr is no reason to panic.
        let _ = writeln!(std::io::stderr(), "cluster: {}: {reason}", process::CHILD_VARIABLE);
        NO_CHILD
    };
    Some(run(&variable?).unwrap_or_else(complain))
}

fn run(variable: &str) -> Result<i32, String> {
    let mut parts = variable.splitn(3, '.');
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    if number() != Some(PROTOCOL_VERSION) {
        return Err(format!("not of protocol version {PROTOCOL_VERSION}; unset it"));
    }
    let fd = number().and_then(|fd| i32::try_from(fd).ok());
    let (Some(fd), Some(name)) = (fd, parts.next()) else {
        return Err("not what a parent writes; unset it".to_owned());
    };
    let entry = entry::find(name)?;
    let socket = process::handed_descriptor(fd).ok_or("its channel is not open")?;
    let short = name.split('@').next().unwrap_or(name).rsplit("::").next().unwrap_or(name);
    process::set_title(&process::name(), &format!("child {short}"));
    Ok((entry.run)(Connection(socket)))
}

/// What an entry's `run` does: runs the function on a runtime of its own, and sends what it has sent.
#[doc(hidden)]
pub fn run_child<P, F, Fut>(connection: Connection, function: F) -> i32
where
    P: entry::ParentArg,
    F: FnOnce(P) -> Fut,
    Fut: Future,
    Fut::Output: Termination,
{
    // What a plain program reports for a panic in main, and for a runtime that cannot be.
    const PANICKED: i32 = 101;
    const NO_RUNTIME: i32 = 71;
    let life = std::panic::AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return NO_RUNTIME };
        runtime.block_on(async {
            let Ok((parent, flush)) = P::from_connection(connection) else { return NO_RUNTIME };
            let code = crate::worker::exit_code(function(parent).await);
            flush.await;
            code
        })
    });
    std::panic::catch_unwind(life).unwrap_or(PANICKED)
}

/// The future that the attribute makes; `T` says which function it is of.
#[doc(hidden)]
pub struct Marked<Fut, T>(Pin<Box<Fut>>, PhantomData<fn() -> T>);

/// Which function a [`Marked`] future is of.
#[doc(hidden)]
pub trait Tag {
    /// Its place in the list.
    fn entry() -> &'static Entry;
}

impl<Fut: Future, T: Tag> Marked<Fut, T> {
    /// Marks a future.
    pub fn new(future: Fut, _: T) -> Self {
        Self(Box::pin(future), PhantomData)
    }
}

impl<Fut: Future, T> Future for Marked<Fut, T> {
    type Output = Fut::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<Fut: Future, T: Tag> ChildFuture for Marked<Fut, T> {
    fn entry() -> &'static Entry {
        T::entry()
    }
}

impl<Fut, T> fmt::Debug for Marked<Fut, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Marked")
    }
}
