//! `Worker`, the handle on the worker that this process is, and the free functions of the same use.
//!
//! Process-wide and valid on any thread: there is one worker in a process.

use std::{fmt, os::fd::OwnedFd};

use super::{
    current::{Current, try_current},
    drain::Draining,
};
use crate::{
    error::Error,
    id::WorkerId,
    message::{self, Address, ClusterMessage, ClusterRequest, Mailbox, Requesting, Sending},
    shard::{Shard, ShardChanges},
    wire::FromWorker,
};

/// Who a worker is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) id: WorkerId,
    pub(crate) slot: usize,
    pub(crate) generation: u32,
    /// `None` in a cluster that names no services.
    pub(crate) service: Option<&'static str>,
}

/// The handle on the worker that this process is, from [`worker()`] or
/// [`Role::Worker`](crate::Role::Worker).
#[derive(Clone)]
pub struct Worker(&'static Current);

impl Worker {
    pub(crate) fn of(current: &'static Current) -> Self {
        Self(current)
    }

    /// This worker's identity, which no other worker of the cluster ever has.
    pub fn id(&self) -> WorkerId {
        self.0.identity.id
    }

    /// The slot that this worker sits in: 0 up to the number of workers, exclusive; with services it is
    /// counted through all of them. A worker that replaces another has its slot.
    pub fn slot(&self) -> usize {
        self.0.identity.slot
    }

    /// The share of all keys that belongs to this worker now, among those of its service.
    ///
    /// It changes when the service is scaled; [`shard_changes`](Self::shard_changes) tells.
    pub fn shard(&self) -> Shard {
        Shard::now(self.slot())
    }

    /// Tells when keys move, to this worker or among others of its service: from now on, so that whoever takes this first
    /// and then its [`last`](ShardChanges::last) misses nothing.
    ///
    /// ```no_run
    /// # async fn hand_over(_: cluster::Shard) {}
    /// # async fn example() {
    /// let mut changes = cluster::worker().shard_changes();
    /// loop {
    ///     let shard = changes.next().await;
    ///     // Gives away what it keeps under keys for which `shard.owns(&key)` has become false.
    ///     hand_over(shard).await;
    /// }
    /// # }
    /// ```
    pub fn shard_changes(&self) -> ShardChanges {
        ShardChanges::of(self.slot())
    }

    /// The generation of code that this worker runs, 1 until the first reload.
    pub fn generation(&self) -> u32 {
        self.0.identity.generation
    }

    /// The name of the service that this worker is of; `None` in a cluster that names none.
    pub fn service(&self) -> Option<&'static str> {
        self.0.identity.service
    }

    /// Says that this worker is ready; see [`set_ready()`].
    pub fn set_ready(&self) {
        self.0.tell(&FromWorker::Ready);
    }

    /// Resolves when this worker drains; see [`draining()`].
    pub fn draining(&self) -> Draining {
        self.0.drain.draining()
    }

    /// Whether this worker drains: it gets no new connections and is to end when those it has are done.
    ///
    /// Asking counts as taking notice: the worker then ends when `main` returns, at the latest at
    /// `grace`.
    pub fn is_draining(&self) -> bool {
        self.0.drain.observe();
        self.0.drain.is_draining()
    }

    /// Asks for another worker in this one's place: that one is ready first, then this one drains, as with a limit of
    /// `recycle`; one at a time in the cluster, and not during a reload, which replaces it anyway. For limits that
    /// `recycle` does not know, such as requests.
    ///
    /// Returns at once, and until then this worker serves on. Asking again changes nothing; a replacement that does not
    /// start is tried again. Without a master (`workers = 0`) it does nothing.
    ///
    /// ```no_run
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// static SERVED: AtomicU64 = AtomicU64::new(0);
    ///
    /// fn served() {
    ///     if SERVED.fetch_add(1, Ordering::Relaxed) + 1 == 100_000 {
    ///         cluster::worker().replace();
    ///     }
    /// }
    /// ```
    #[doc(alias = "max_requests")]
    pub fn replace(&self) {
        self.0.tell(&FromWorker::ReplaceAsked);
    }

    /// Asks for this worker's end, as a TERM to its process does: it drains and exits, and what follows
    /// is for `respawn` to say (`always` puts a new one in its slot).
    ///
    /// Returns at once; the drain begins within a quarter of a second.
    pub fn stop(&self) {
        self.0.ask_to_stop();
    }

    /// Sends a message from this process; see [`send`](crate::send).
    pub fn send<M: ClusterMessage>(&self, to: impl Into<Address>, message: &M) -> Sending {
        message::send(to, message)
    }

    /// Sends a message from this process with a descriptor; see [`send_with_fd`](crate::send_with_fd).
    pub fn send_with_fd<M: ClusterMessage>(
        &self,
        to: impl Into<Address>,
        message: &M,
        fd: impl Into<OwnedFd>,
    ) -> Sending {
        message::send_with_fd(to, message, fd)
    }

    /// Sends a message if there is room for it; see [`try_send`](crate::try_send).
    ///
    /// # Errors
    /// As there.
    pub fn try_send<M: ClusterMessage>(
        &self,
        to: impl Into<Address>,
        message: &M,
    ) -> Result<(), Error> {
        message::try_send(to, message)
    }

    /// Sends a message to every other process of the cluster; see [`broadcast`](crate::broadcast).
    pub fn broadcast<M: ClusterMessage>(&self, message: &M) -> Sending {
        message::broadcast(message)
    }

    /// Sends a message to every other worker of a service; see [`broadcast_to`](crate::broadcast_to).
    pub fn broadcast_to<M: ClusterMessage>(&self, service: &str, message: &M) -> Sending {
        message::broadcast_to(service, message)
    }

    /// Asks a process of the cluster; see [`request`](crate::request).
    pub fn request<M: ClusterRequest>(
        &self,
        to: impl Into<Address>,
        message: &M,
    ) -> Requesting<M::Reply> {
        message::request(to, message)
    }

    /// A mailbox of this process; see [`subscribe`](crate::subscribe).
    pub fn subscribe<M: ClusterMessage>(&self) -> Mailbox<M> {
        message::subscribe()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("id", &self.id()).field("slot", &self.slot()).finish()
    }
}

/// The worker that this process is.
///
/// # Panics
/// In any other process: the master's branch, `init` in the master, a program without a cluster.
/// [`try_worker`] tells instead.
pub fn worker() -> Worker {
    try_worker().expect(
        "cluster::worker() was called in a process that is no worker: in the master's branch, in \
         `init`, or without #[cluster::main]; use cluster::try_worker() there",
    )
}

/// The worker that this process is, `None` in any other process.
pub fn try_worker() -> Option<Worker> {
    try_current().map(Worker::of)
}

/// Whether this process is a worker: Node's `cluster.isWorker`.
#[doc(alias = "isWorker")]
pub fn is_worker() -> bool {
    try_current().is_some()
}

/// Resolves when this worker drains, for `with_graceful_shutdown` and `select!`.
///
/// The order of a drain: [`accept`](crate::TcpListener::accept) returns the connections that were
/// meant for this worker and then no more; when each of them has been read from (with
/// `http::DrainLayer`: has closed), at the latest after one second, this future
/// resolves; then a TERM, else an INT handler that was installed in this process is raised, unless
/// that signal has come to it before, as when every process of the cluster gets it. The worker
/// ends when `main` has returned and its connections are closed, and is killed after `grace`.
///
/// In a process that is no worker the future never resolves.
///
/// # Cancel safety
/// Cancel-safe, and may be polled again after it resolved.
pub fn draining() -> Draining {
    try_current().map_or_else(Draining::never, |current| current.drain.draining())
}

/// Says that this worker is ready: for workers that serve no listener, or are ready before or after
/// they accept.
///
/// Without it a worker is ready when it waits in `accept` on every listener that the worker it
/// replaces had, or when it has run for one second without binding anything. Saying it twice, or in a
/// process that is no worker, does nothing.
pub fn set_ready() {
    if let Some(worker) = try_worker() {
        worker.set_ready();
    }
}
