//! `stopping()`: that the cluster's stop has begun, which this worker's drain may follow after a while.
//!
//! Changes nothing about the worker; the drain is `drain`'s.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::{current::try_current, level::Level};

/// The future of [`stopping()`](crate::stopping): resolves when the cluster's stop begins.
///
/// `Unpin`, so that `&mut stopping` works in `select!`; a clone waits on its own.
#[derive(Clone)]
pub struct Stopping(Level<bool>);

impl fmt::Debug for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stopping").field(&self.0.now()).finish()
    }
}

impl Future for Stopping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll(cx, |begun| begun)
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
    Stopping(Level::of(try_current().map(|current| current.stopping.subscribe())))
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
