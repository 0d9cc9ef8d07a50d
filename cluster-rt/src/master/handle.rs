//! `Master`, the owner's handle on the cluster.
//!
//! Holds no state of the cluster: orders go to the supervisor's thread, snapshots and events come from
//! it. Nothing here can block or stall that thread.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{broadcast, oneshot};

use super::{
    control::{ControlHandle, Message},
    events::Events,
    memory,
    order::{Answer, Order, Reloaded, Replaced, Scaled, Stopped},
    supervisor::STOPPING,
};
use crate::{
    error::{Cause, Error},
    event::{Event, WorkerStatus},
    message::{self, Address, ClusterMessage, ClusterRequest, Mailbox, Requesting, Sending},
    stats::Stats,
};

/// Events kept for a reader that is slow, or has not come yet.
const EVENTS_KEPT: usize = 1024;

/// What an owner may order, and whom to tell when it is done.
#[derive(Debug)]
pub(super) enum Command {
    Scale { service: Option<String>, target: usize, answer: Answer<Scaled> },
    Respawn { slot: usize, answer: Answer<Replaced> },
    Reload { answer: Answer<Reloaded> },
    Stats { answer: oneshot::Sender<Stats> },
    Stop { done: oneshot::Sender<Stopped> },
    Kill { done: oneshot::Sender<Stopped> },
}

/// What the supervisor's thread and the handles share.
#[derive(Debug)]
pub(super) struct Desk {
    control: ControlHandle,
    workers: Mutex<Arc<[WorkerStatus]>>,
    /// `None` when the cluster has ended, so that every stream ends.
    events: Mutex<Option<broadcast::Sender<Event>>>,
    /// The reader from the start, until the first `events()` takes it.
    first: Mutex<Option<broadcast::Receiver<Event>>>,
}

impl Desk {
    pub(super) fn new(control: ControlHandle) -> Arc<Self> {
        let (events, first) = broadcast::channel(EVENTS_KEPT);
        Arc::new(Self {
            control,
            workers: Mutex::new(Arc::new([])),
            events: Mutex::new(Some(events)),
            first: Mutex::new(Some(first)),
        })
    }

    /// Tells the supervisor's thread.
    pub(super) fn give(&self, message: Message) {
        self.control.tell(message);
    }

    pub(super) fn publish(&self, events: &[Event], workers: Vec<WorkerStatus>) {
        *lock(&self.workers) = workers.into();
        if let Some(sender) = &*lock(&self.events) {
            for event in events {
                // Nobody listening is fine; the first reader has not come or all have gone.
                let _ = sender.send(event.clone());
            }
        }
    }

    /// Ends every stream of events.
    pub(super) fn close(&self) {
        drop(lock(&self.events).take());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The owner's handle on the cluster, in the master process.
///
/// It is given to the master's branch: [`Role::Master`](crate::Role::Master), or the function named by
/// `master = ...`. That branch runs on a thread and runtime of its own; whatever it does, the
/// supervision of the workers goes on beside it. Clones are the same handle.
#[derive(Clone, Debug)]
#[doc(alias = "primary")]
pub struct Master(pub(super) Arc<Desk>);

impl Master {
    /// The workers that live now, in the order of their identities.
    ///
    /// A snapshot: it changes no more after it was taken.
    pub fn workers(&self) -> Vec<WorkerStatus> {
        lock(&self.0.workers).to_vec()
    }

    /// What happens in the cluster from now on; the first call also gets what happened before it.
    ///
    /// Each stream keeps the last 1024 events for a slow reader. Older ones are dropped, and counted by
    /// [`Event::Lagged`].
    pub fn events(&self) -> Events {
        if let Some(first) = lock(&self.0.first).take() {
            return Events::of(first);
        }
        match &*lock(&self.0.events) {
            Some(sender) => Events::of(sender.subscribe()),
            None => Events::none(),
        }
    }

    /// Changes the number of workers. New slots get the lowest free numbers; those that came last, here the
    /// highest, go first, and their workers drain: no connection is lost.
    ///
    /// Done when the new slots' workers are ready, or when the workers of the slots that went are reaped
    /// (at the latest after `grace`).
    ///
    /// # Errors
    /// 0 or more than 512 workers; the cluster names services, one of which has to be named
    /// ([`scale_service`](Self::scale_service)); a new worker failed to start (it is tried again all the same); another
    /// order to scale came before this one was done; the cluster is stopping
    /// ([`Error::is_stopping`]).
    pub fn scale(&self, workers: usize) -> Order<Result<Scaled, Error>> {
        let otherwise = || Err(stopping("scale"));
        let (service, target) = (None, workers);
        Order::new(&self.0, otherwise, move |answer| Command::Scale { service, target, answer })
    }

    /// Changes the number of workers of one service, as [`scale`](Self::scale) does of a cluster that names
    /// none; there, `"main"` is the only one.
    ///
    /// The slots of the service that came last go first, which may be others than its highest: a number that one
    /// service frees may become another's. So the others keep their [`Shard`](crate::Shard)s.
    ///
    /// # Errors
    /// As for [`scale`](Self::scale), where all services together may have 512 workers; and there is no
    /// such service.
    pub fn scale_service(&self, name: &str, workers: usize) -> Order<Result<Scaled, Error>> {
        let otherwise = || Err(stopping("scale"));
        let (service, target) = (Some(name.to_owned()), workers);
        Order::new(&self.0, otherwise, move |answer| Command::Scale { service, target, answer })
    }

    /// Replaces the worker of one slot by a new one of the same code: the new one is ready first, then
    /// the old one drains. A slot that waits for its next worker gets it at once.
    ///
    /// Replacements are made one at a time, and not during a reload, which replaces all anyway.
    ///
    /// # Errors
    /// There is no such slot; the new worker failed to start, and the old one goes on; the cluster is
    /// stopping ([`Error::is_stopping`]).
    pub fn respawn(&self, slot: usize) -> Order<Result<Replaced, Error>> {
        let otherwise = || Err(stopping("respawn"));
        Order::new(&self.0, otherwise, move |answer| Command::Respawn { slot, answer })
    }

    /// Replaces every worker by one of the program that is now at the path from which this one was
    /// started, as HUP does. The master goes on with the code that it has.
    ///
    /// Slot by slot: the new worker is ready first, then the old one drains. The first new one must also
    /// live a second after it is ready, before any old one goes. With the option `surplus` several slots
    /// change at once. If anything fails (no such file, not executable, of another version of this
    /// crate, a worker that crashes or is not ready in time) nothing changes: slots that had changed
    /// already go back to the old code.
    ///
    /// Done when every slot has its new worker, or everything is as it was before; old workers may still
    /// finish what they have. If a reload is under way, this one follows it; all that are ordered
    /// meanwhile are one.
    ///
    /// Not to be waited for by a request that a worker serves, as of an admin's page that asks the master: that
    /// worker drains until the request is over, and the reload may have to wait for it, at most for `grace`. Answer
    /// first, or let the master's branch serve such a page on a listener of its own. The same holds for
    /// [`respawn`](Self::respawn) and [`scale`](Self::scale), and for [`stop`](Self::stop) in any case.
    ///
    /// # Errors
    /// What failed, with the last lines that the newcomer wrote to stderr; the cluster is stopping
    /// ([`Error::is_stopping`]).
    pub fn reload(&self) -> Order<Result<Reloaded, Error>> {
        let otherwise = || Err(stopping("reload"));
        Order::new(&self.0, otherwise, |answer| Command::Reload { answer })
    }

    /// The cluster in numbers; USR1 prints the same.
    ///
    /// Reads the memory of each worker from `/proc`, which takes about a millisecond for each.
    ///
    /// # Errors
    /// The cluster has ended ([`Error::is_stopping`]).
    pub async fn stats(&self) -> Result<Stats, Error> {
        let (answer, stats) = oneshot::channel();
        self.0.give(Message::Command(Command::Stats { answer }));
        let mut stats = stats.await.map_err(|_| stopping("stats"))?;
        memory::measure(&mut stats);
        Ok(stats)
    }

    /// Stops the cluster as TERM does: no connection that the kernel has accepted is lost, every worker
    /// drains, and what has not ended after `grace` is killed.
    ///
    /// The order is sent when the future is first polled, and done after the last worker was reaped.
    /// Dropping the future does not cancel it. The master process ends at most a quarter of a second
    /// later, whatever its branch still does.
    pub fn stop(&self) -> Order<Stopped> {
        Order::new(&self.0, Stopped::nothing, |done| Command::Stop { done })
    }

    /// Ends the cluster at once, as QUIT does: SIGKILL to every worker.
    ///
    /// Sent and done as for [`stop`](Self::stop).
    pub fn kill(&self) -> Order<Stopped> {
        Order::new(&self.0, Stopped::nothing, |done| Command::Kill { done })
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

fn stopping(operation: &'static str) -> Error {
    Error::new(operation, "the cluster", Cause::Stopping(STOPPING))
}
