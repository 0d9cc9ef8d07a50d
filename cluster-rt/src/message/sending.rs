//! `Sending`: the future of a message on its way into this process's outbox.
//!
//! The message was encoded at the call, and queued too if there was room; the future only waits for
//! room, and for its task's turn. It borrows nothing.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake, Waker, ready},
    thread::{self, Thread},
    time::Instant,
};

use tokio::task::coop;

use super::{
    office::Office,
    post::{Room, Sealed},
    reply::Return,
};
use crate::error::Error;

/// The future of [`send`](crate::send), [`broadcast`](crate::broadcast) and
/// [`Reply::send`](crate::Reply::send): resolves when the message is on its way.
///
/// The message was encoded when the future was made, and nothing of it is borrowed. If there was room
/// in the outbox, it is on its way already; otherwise it is when the future has resolved.
///
/// # Cancel safety
/// Dropped before it resolved, the message may or may not have been sent; it is never sent in part.
///
/// # Other tasks
/// A task that sends on and on lets the others of its thread run, as with tokio's own channels
/// ([`tokio::task::coop`]).
#[must_use = "a message waits for room in the outbox, and errors are told, when its future is awaited"]
pub struct Sending(State);

enum State {
    Done(Option<Result<(), Error>>),
    Waiting {
        office: &'static Office,
        letter: Option<Sealed>,
        back: Option<Arc<Return>>,
        room: Pin<Box<dyn Future<Output = Option<Room<'static>>> + Send>>,
    },
}

impl Sending {
    pub(super) fn done(result: Result<(), Error>) -> Self {
        Self(State::Done(Some(result)))
    }

    /// Queues the letter, or waits for room.
    pub(super) fn start(office: &'static Office, letter: impl Into<Sealed>) -> Self {
        Self::begin(office, letter.into(), None)
    }

    /// Queues the answer to a request, which fails if this is dropped before there was room.
    pub(super) fn answer(back: Arc<Return>, frame: Vec<u8>) -> Self {
        Self::begin(back.office, frame.into(), Some(back))
    }

    fn begin(office: &'static Office, letter: Sealed, back: Option<Arc<Return>>) -> Self {
        match office.post().try_room(&letter) {
            Some(room) => {
                push(office, letter, room, back);
                Self::done(Ok(()))
            }
            None => {
                let room = Box::pin(office.post().room(&letter));
                Self(State::Waiting { office, letter: Some(letter), back, room })
            }
        }
    }

    /// Waits on this thread, for code that is not async.
    ///
    /// On the thread of an async runtime it holds up everything else there.
    ///
    /// # Errors
    /// Those of the future.
    pub fn wait(self) -> Result<(), Error> {
        // Without a deadline it only returns when done.
        block_on(self, None).unwrap_or(Ok(()))
    }
}

impl Future for Sending {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Done(result) if result.is_some() => {
                ready!(coop::poll_proceed(cx)).made_progress();
                Poll::Ready(result.take().unwrap_or(Ok(())))
            }
            // Polled again after it was done: it stays done.
            State::Done(_) => Poll::Ready(Ok(())),
            State::Waiting { office, letter, back, room } => {
                let Poll::Ready(room) = room.as_mut().poll(cx) else { return Poll::Pending };
                // `None` if the outbox were closed, which it never is.
                if let Some((letter, room)) = letter.take().zip(room) {
                    push(office, letter, room, back.take());
                }
                self.0 = State::Done(None);
                Poll::Ready(Ok(()))
            }
        }
    }
}

fn push(office: &Office, letter: Sealed, room: Room<'_>, back: Option<Arc<Return>>) {
    office.post().push(letter, room);
    if let Some(back) = back {
        back.set_answered();
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = matches!(self.0, State::Waiting { .. });
        f.debug_struct("Sending").field("waiting", &waiting).finish()
    }
}

/// Wakes a parked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread; `None` at the deadline.
pub(super) fn block_on<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    // In a task that has used up its budget tokio's own futures wait for the scheduler, which this holds up.
    let mut future = pin!(coop::unconstrained(future));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        match deadline {
            None => thread::park(),
            Some(at) => match at.checked_duration_since(Instant::now()) {
                Some(left) => thread::park_timeout(left),
                None => return None,
            },
        }
    }
}
