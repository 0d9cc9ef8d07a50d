//! `stopping()`: that the cluster's stop has begun, which this worker's drain may follow after a while.
//!
//! Changes nothing about the worker; the drain is `drain`'s.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::watch;

use super::current::try_current;

/// The future of [`stopping()`](crate::stopping): resolves when the cluster's stop begins.
///
/// `Unpin`, so that `&mut stopping` works in `select!`; a clone waits on its own.
pub struct Stopping {
    /// `None` in a process that is no worker.
    begun: Option<watch::Receiver<bool>>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Stopping {
    pub(super) fn of(begun: Option<watch::Receiver<bool>>) -> Self {
        Self { begun, waiting: None }
    }
}

impl Clone for Stopping {
    fn clone(&self) -> Self {
        Self::of(self.begun.clone())
    }
}

impl fmt::Debug for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stopping").field(&self.begun.as_ref().map(|begun| *begun.borrow())).finish()
    }
}

impl Future for Stopping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut begun) = self.begun.clone() else { return Poll::Pending };
        let waiting = self.waiting.get_or_insert_with(|| {
            // The sender is part of the worker, which lasts.
            Box::pin(async move { drop(begun.wait_for(|begun| *begun).await) })
        });
        let done = waiting.as_mut().poll(cx);
        if done.is_ready() {
            // Polled again, it looks again, and resolves again.
            self.waiting = None;
        }
        done
    }
}

/// Resolves when the cluster begins to stop: with `stop_delay` while this worker still takes connections, so that a
/// health check can say no before the first is refused.
///
/// The drain follows, see [`draining()`](crate::draining), which is for one worker's end as well; this is for the
/// cluster's alone. In a process that is no worker the future never resolves; in the master's branch it is
/// [`Event::Stopping`](crate::Event::Stopping). A stop by QUIT or [`Master::kill`](crate::Master::kill) leaves no time
/// to be told.
///
/// # Cancel safety
/// Cancel-safe, and may be polled again after it resolved.
pub fn stopping() -> Stopping {
    Stopping::of(try_current().map(|current| current.stopping.subscribe()))
}

/// Whether the cluster has begun to stop, as [`stopping()`] would tell; `false` in a process that is no worker.
///
/// ```no_run
/// /// The status of a health check.
/// async fn readyz() -> u16 {
///     if cluster::is_stopping() { 503 } else { 200 }
/// }
/// ```
pub fn is_stopping() -> bool {
    try_current().is_some_and(|current| *current.stopping.borrow())
}
