//! The drain of this worker, and the accounts of its connections that decide when it is done.
//!
//! The accounts are written on the path of every connection, so they are plain atomics; what waits for
//! them looks again every few milliseconds, which only happens during a drain.

use std::{
    future::Future,
    io,
    os::fd::OwnedFd,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::level::Level;
use crate::{
    handoff,
    sys::{scoreboard::Row, wake::Wake},
};

/// How often a drain looks at the accounts.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// How far a drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Serving.
    No,
    /// Ordered: what was meant for this worker is still being accepted and read.
    Ordered,
    /// `draining()` has resolved.
    Told,
    /// All is done and `main` took no notice: the worker ends without it.
    Over,
}

#[derive(Debug)]
pub(crate) struct Drain {
    stage: watch::Sender<Stage>,
    /// Whether user code takes notice, so that the worker's end is for `main` to say.
    observed: AtomicBool,
    /// Answers tell their clients to close, so that connections end before `draining()` resolves.
    answers_close: AtomicBool,
    stop_asked: AtomicBool,
    /// `main` runs on no runtime that it could be taken from: the process ends in its stead.
    ends_by_exit: AtomicBool,
    /// Rung when the drain moves on, for threads that wait for connections.
    bells: Mutex<Vec<Wake>>,
    /// The receiving ends of the handoff queues of listeners that still exist.
    queues: Mutex<Vec<Weak<OwnedFd>>>,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            stage: watch::Sender::new(Stage::No),
            observed: AtomicBool::new(false),
            answers_close: AtomicBool::new(false),
            stop_asked: AtomicBool::new(false),
            ends_by_exit: AtomicBool::new(false),
            bells: Mutex::new(Vec::new()),
            queues: Mutex::new(Vec::new()),
        }
    }
}

impl Drain {
    pub(crate) fn is_draining(&self) -> bool {
        *self.stage.borrow() != Stage::No
    }

    /// User code takes notice of the drain.
    pub(crate) fn observe(&self) {
        self.observed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_observed(&self) -> bool {
        self.observed.load(Ordering::Relaxed)
    }

    /// From now on answers tell their clients to close while draining.
    #[cfg(feature = "axum")]
    pub(crate) fn set_answers_close(&self) {
        self.answers_close.store(true, Ordering::Relaxed);
    }

    pub(crate) fn add_queue(&self, queue: &Arc<OwnedFd>) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(Arc::downgrade(queue));
    }

    pub(super) fn ask_to_stop(&self) {
        self.stop_asked.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_stop_asked(&self) -> bool {
        self.stop_asked.swap(false, Ordering::Relaxed)
    }

    /// The order came. `false` if it had come before.
    pub(super) fn begin(&self) -> bool {
        self.advance(Stage::Ordered)
    }

    /// `draining()` resolves. `false` if it had before.
    pub(super) fn tell(&self) -> bool {
        self.advance(Stage::Told)
    }

    pub(super) fn finish(&self) {
        self.advance(Stage::Over);
    }

    pub(super) fn end_by_exit(&self) {
        self.ends_by_exit.store(true, Ordering::Relaxed);
    }

    pub(super) fn ends_by_exit(&self) -> bool {
        self.ends_by_exit.load(Ordering::Relaxed)
    }

    /// Something to poll that is readable from the moment on at which this worker drains.
    pub(crate) fn bell(&self) -> io::Result<Wake> {
        let bell = Wake::new()?;
        self.bells.lock().unwrap_or_else(PoisonError::into_inner).push(bell.clone());
        if self.is_draining() {
            bell.ring();
        }
        Ok(bell)
    }

    fn advance(&self, to: Stage) -> bool {
        let further = self.stage.send_if_modified(|stage| {
            let further = *stage < to;
            *stage = to.max(*stage);
            further
        });
        if further {
            let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
            bells.iter().for_each(Wake::ring);
        }
        further
    }

    /// Whether everything that was meant for this worker has been accepted and looked at.
    pub(super) fn is_settled(&self, accounts: &Accounts) -> bool {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = queues.iter().filter_map(Weak::upgrade).any(|q| handoff::waiting(&*q) > 0);
        let busy = if self.answers_close.load(Ordering::Relaxed) {
            accounts.active()
        } else {
            accounts.unread()
        };
        !waiting && busy == 0
    }

    pub(crate) fn draining(&self) -> Draining {
        Draining(Level::of(Some(self.stage.subscribe())))
    }

    /// Resolves when the drain is over and `main` is to be left.
    pub(super) async fn over(&self) {
        let mut stage = self.stage.subscribe();
        // The sender is part of the worker, which lasts.
        let _ = stage.wait_for(|stage| *stage == Stage::Over).await;
    }

    /// Resolves when the last counted connection is closed.
    pub(super) async fn connections_closed(&self) {
        while super::current::try_current().is_some_and(|current| current.accounts.active() > 0) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// The future of [`draining()`](crate::draining): resolves when this worker drains.
///
/// `Unpin`, so that `&mut draining` works in `select!`; a clone waits on its own.
#[derive(Clone)]
pub struct Draining(Level<Stage>);

impl Draining {
    pub(super) fn never() -> Self {
        Self(Level::of(None))
    }
}

impl std::fmt::Debug for Draining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Draining").field(&self.0.now()).finish()
    }
}

impl Future for Draining {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(current) = super::current::try_current() {
            current.drain.observe();
        }
        self.0.poll(cx, |stage| stage >= Stage::Told)
    }
}

/// The connections of this worker, counted where the master sees it.
#[derive(Debug)]
pub(crate) struct Accounts {
    /// For the master; any worker can write anything there, so nothing is decided by it here.
    row: &'static Row,
    /// Open, or about to be received.
    active: AtomicU64,
    /// Accepted and not yet read from.
    unread: AtomicU64,
    /// Told when a connection closes and somebody waits for that, which is what the flag says: on the path
    /// of every connection there is no lock.
    closed: Notify,
    awaited: AtomicBool,
}

impl Accounts {
    pub(super) fn new(row: &'static Row) -> Self {
        let (active, unread) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { row, active, unread, closed: Notify::new(), awaited: AtomicBool::new(false) }
    }

    pub(super) fn row(&self) -> &'static Row {
        self.row
    }

    pub(crate) fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// Resolves when fewer than `limit` connections are open.
    pub(crate) async fn below(&self, limit: u64) {
        loop {
            let closed = self.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            // Both orders are needed: a close either sees the flag, or is seen by the look.
            self.awaited.store(true, Ordering::SeqCst);
            if self.active.load(Ordering::SeqCst) < limit {
                return;
            }
            closed.await;
        }
    }

    fn add(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.row.active.fetch_add(1, Ordering::Relaxed);
    }

    fn remove(&self) {
        self.row.active.fetch_sub(1, Ordering::Relaxed);
        self.active.fetch_sub(1, Ordering::SeqCst);
        if self.awaited.load(Ordering::SeqCst) && self.awaited.swap(false, Ordering::SeqCst) {
            self.closed.notify_waiters();
        }
    }

    fn unread(&self) -> u64 {
        self.unread.load(Ordering::Relaxed)
    }

    /// Counts a connection that is about to be received, so that one in a worker that is killed in
    /// between is counted as lost. Dropped without [`Expected::arrived`], it counts as nothing.
    pub(crate) fn expect(&'static self) -> Expected {
        self.add();
        Expected(self)
    }
}

/// A connection that may be about to arrive.
#[derive(Debug)]
pub(crate) struct Expected(&'static Accounts);

impl Expected {
    /// It is there.
    pub(crate) fn arrived(self) -> Counted {
        let accounts = self.0;
        // The count that `expect` made goes over to the connection.
        accounts.add();
        accounts.unread.fetch_add(1, Ordering::Relaxed);
        Counted { accounts, unread: AtomicBool::new(true) }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// A connection that is counted as open until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    accounts: &'static Accounts,
    unread: AtomicBool,
}

impl Counted {
    /// Something was read from it, or its end was seen, or others read from it now.
    pub(crate) fn mark_read(&self) {
        if self.unread.load(Ordering::Relaxed) && self.unread.swap(false, Ordering::Relaxed) {
            self.accounts.unread.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.mark_read();
        self.accounts.remove();
        self.accounts.row.served.fetch_add(1, Ordering::Relaxed);
    }
}
