//! `Master`, the owner's handle on the cluster, and `Events`.
//!
//! Holds no state of the cluster: orders go to the supervisor's thread, snapshots and events come from
//! it. Nothing here can block or stall that thread.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::{broadcast, oneshot};

use super::control::{ControlHandle, Message};
use crate::{
    error::Error,
    event::{Event, WorkerStatus},
    message::{self, Address, ClusterMessage, ClusterRequest, Mailbox, Requesting, Sending},
};

/// Events kept for a reader that is slow, or has not come yet.
const EVENTS_KEPT: usize = 1024;

/// What an owner may order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Stop,
    Kill,
}

/// An order, and whom to tell when it is done.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) order: Order,
    pub(super) done: oneshot::Sender<Stopped>,
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
            return Events(Next::Idle(first));
        }
        match &*lock(&self.0.events) {
            Some(sender) => Events(Next::Idle(sender.subscribe())),
            None => Events(Next::Ended),
        }
    }

    /// Stops the cluster as TERM does: no connection that the kernel has accepted is lost, every worker
    /// drains, and what has not ended after `grace` is killed.
    ///
    /// The order is sent when the future is first polled, and done after the last worker was reaped.
    /// Dropping the future does not cancel it. The master process ends at most a quarter of a second
    /// later, whatever its branch still does.
    pub fn stop(&self) -> Stopping {
        Stopping { order: Some((Arc::clone(&self.0), Order::Stop)), answer: None }
    }

    /// Ends the cluster at once, as QUIT does: SIGKILL to every worker.
    ///
    /// Sent and done as for [`stop`](Self::stop).
    pub fn kill(&self) -> Stopping {
        Stopping { order: Some((Arc::clone(&self.0), Order::Kill)), answer: None }
    }

    /// Sends a message from this process; see [`send`](crate::send).
    pub fn send<M: ClusterMessage>(&self, to: impl Into<Address>, message: &M) -> Sending {
        message::send(to, message)
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

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Workers that ended as asked.
    pub drained: usize,
    /// Workers that had to be killed, at the end of `grace` or because all were.
    pub killed: usize,
}

/// The future of [`Master::stop`] and [`Master::kill`].
///
/// # Cancel safety
/// Dropping it after the first poll changes nothing about the stop.
#[derive(Debug)]
#[must_use = "an order is sent when its future is first polled"]
pub struct Stopping {
    /// What is ordered of whom, until it is.
    order: Option<(Arc<Desk>, Order)>,
    answer: Option<oneshot::Receiver<Stopped>>,
}

impl Future for Stopping {
    type Output = Stopped;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Stopped> {
        if let Some((desk, order)) = self.order.take() {
            let (done, answer) = oneshot::channel();
            desk.control.tell(Message::Command(Command { order, done }));
            self.answer = Some(answer);
        }
        let Some(answer) = &mut self.answer else { return Poll::Pending };
        // An answer that is dropped means that the supervisor has ended, and so the cluster.
        Pin::new(answer)
            .poll(cx)
            .map(|stopped| stopped.unwrap_or(Stopped { drained: 0, killed: 0 }))
    }
}

/// A stream of [`Event`]s, from [`Master::events`]; also a `futures` `Stream`.
pub struct Events(Next);

/// The receiver, or the future that has it and will give it back.
enum Next {
    Idle(broadcast::Receiver<Event>),
    Waiting(Pin<Box<dyn Future<Output = (Received, broadcast::Receiver<Event>)> + Send + Sync>>),
    Ended,
}

type Received = Result<Event, broadcast::error::RecvError>;

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Events {
    /// The next event; `None` when the cluster has ended.
    ///
    /// # Cancel safety
    /// Cancel-safe: an event that was not returned is returned by the next call.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut waiting = match std::mem::replace(&mut self.0, Next::Ended) {
            Next::Ended => return Poll::Ready(None),
            Next::Waiting(waiting) => waiting,
            Next::Idle(mut receiver) => {
                Box::pin(async move { (receiver.recv().await, receiver) }) as Pin<Box<_>>
            }
        };
        let Poll::Ready((received, receiver)) = waiting.as_mut().poll(cx) else {
            self.0 = Next::Waiting(waiting);
            return Poll::Pending;
        };
        let event = match received {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(dropped)) => Event::Lagged(dropped),
            Err(broadcast::error::RecvError::Closed) => return Poll::Ready(None),
        };
        self.0 = Next::Idle(receiver);
        Poll::Ready(Some(event))
    }
}
