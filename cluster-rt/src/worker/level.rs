//! Waiting for a state of this worker that never ends once it is reached, from user code that may ask again.
//!
//! What the state is, and what its future is called, is for `drain` and `stopping` to say.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::watch;

/// A state, and the wait for it. A clone waits on its own.
pub(super) struct Level<T> {
    /// `None` in a process that is no worker: there nothing is ever reached.
    state: Option<watch::Receiver<T>>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl<T: Copy + Send + Sync + 'static> Level<T> {
    pub(super) fn of(state: Option<watch::Receiver<T>>) -> Self {
        Self { state, waiting: None }
    }

    pub(super) fn now(&self) -> Option<T> {
        self.state.as_ref().map(|state| *state.borrow())
    }

    /// Ready once the state is one that `reached` names; polled again, it looks again.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, reached: fn(T) -> bool) -> Poll<()> {
        let Some(state) = &self.state else { return Poll::Pending };
        let waiting = self.waiting.get_or_insert_with(|| {
            let mut state = state.clone();
            // The sender is part of the worker, which lasts.
            Box::pin(async move { drop(state.wait_for(|state| reached(*state)).await) })
        });
        let done = waiting.as_mut().poll(cx);
        if done.is_ready() {
            self.waiting = None;
        }
        done
    }
}

impl<T: Copy + Send + Sync + 'static> Clone for Level<T> {
    fn clone(&self) -> Self {
        Self::of(self.state.clone())
    }
}
