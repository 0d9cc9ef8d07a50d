//! `Requesting`: the future of a request, from its sending to its reply.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    ClusterReply,
    asked::Answer,
    office::Office,
    sending::{Sending, block_on},
    shape::fingerprint,
};
use crate::{
    error::{Cause, Error},
    mail::Failure,
};

/// How long a request waits for its reply unless told otherwise.
pub(super) const USUAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The future of [`request`](crate::request): resolves to the reply.
///
/// The request was encoded when the future was made, and nothing of it is borrowed.
///
/// # Cancel safety
/// Dropped before it resolved, the request may have been sent and may be answered; the answer is
/// dropped, and nothing of it stays behind.
#[must_use = "the reply comes when the future is awaited"]
pub struct Requesting<R> {
    state: State,
    /// The name of the request and whom it asks, for errors.
    object: String,
    timeout: Duration,
    reply: PhantomData<fn() -> R>,
}

enum State {
    Failed(Option<Error>),
    Open {
        office: &'static Office,
        request: u64,
        sending: Sending,
        answer: oneshot::Receiver<Answer>,
        since: Instant,
    },
}

impl<R> Requesting<R> {
    pub(super) fn failed(error: Error) -> Self {
        let state = State::Failed(Some(error));
        Self { state, object: String::new(), timeout: USUAL_TIMEOUT, reply: PhantomData }
    }

    pub(super) fn open(
        office: &'static Office,
        object: String,
        (request, answer): (u64, oneshot::Receiver<Answer>),
        sending: Sending,
        since: Instant,
    ) -> Self {
        let state = State::Open { office, request, sending, answer, since };
        Self { state, object, timeout: USUAL_TIMEOUT, reply: PhantomData }
    }

    /// Sets the deadline, counted from when the request was made. Default: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        if let State::Open { office, request, since, .. } = &self.state {
            // One that no clock can express is no deadline; half a life is as good.
            let deadline = since.checked_add(timeout).unwrap_or(*since + FOR_EVER);
            office.asked().set_deadline(*request, deadline);
        }
        self
    }
}

/// What a deadline that the clock cannot express is replaced with.
const FOR_EVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

impl<R: ClusterReply> Requesting<R> {
    /// Waits on this thread, for code that is not async.
    ///
    /// On the thread of an async runtime it holds up everything else there.
    ///
    /// # Errors
    /// Those of the future.
    pub fn wait(self) -> Result<R, Error> {
        let unanswered = Error::new("request", self.object.clone(), Cause::Unanswered);
        // The request has a deadline of its own, so this returns with it.
        block_on(self, None).unwrap_or(Err(unanswered))
    }

    fn read(&self, office: &Office, answer: Option<Answer>) -> Result<R, Error> {
        let cause = match answer {
            Some(Answer::Reply { fingerprint: theirs, generation, payload }) => {
                if theirs != fingerprint::<R>() {
                    Cause::Foreign { theirs: generation, ours: office.generation() }
                } else {
                    match super::decode(&payload) {
                        Ok(reply) => return Ok(reply),
                        Err(what) => Cause::Serde(what),
                    }
                }
            }
            Some(Answer::TimedOut { unheard }) => {
                Cause::TimedOut { deadline: self.timeout, unheard }
            }
            Some(Answer::Failed(Failure::Gone)) => {
                Cause::Unreachable("nobody is there, or who was has died")
            }
            Some(Answer::Failed(Failure::Dropped)) => Cause::Full("the receiver did not keep up"),
            Some(Answer::Failed(Failure::TooMany)) => Cause::Full("too many requests are open"),
            Some(Answer::Failed(Failure::NoBranch)) => Cause::Unreachable(
                "the master has no branch of its own that could answer: `master = ...`, or a `main` that \
                 takes a `Role`",
            ),
            Some(Answer::Failed(Failure::Unanswered)) | None => Cause::Unanswered,
        };
        Err(Error::new("request", self.object.clone(), cause))
    }
}

impl<R: ClusterReply> Future for Requesting<R> {
    type Output = Result<R, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (office, answer) = match &mut self.state {
            State::Failed(error) => {
                let again = || Error::new("request", "", Cause::Unanswered);
                return Poll::Ready(Err(error.take().unwrap_or_else(again)));
            }
            State::Open { office, sending, answer, .. } => {
                // First, so that one whose deadline passes while it waits for room is not sent after it.
                let Poll::Ready(answer) = Pin::new(answer).poll(cx) else {
                    if let Poll::Ready(Err(error)) = Pin::new(sending).poll(cx) {
                        return Poll::Ready(Err(error));
                    }
                    return Poll::Pending;
                };
                (*office, answer.ok())
            }
        };
        let read = self.read(office, answer);
        self.state = State::Failed(None);
        Poll::Ready(read)
    }
}

impl<R> Drop for Requesting<R> {
    fn drop(&mut self) {
        if let State::Open { office, request, .. } = &self.state {
            if office.asked().forget(*request) {
                office.abandon(*request);
            }
        }
    }
}

impl<R> fmt::Debug for Requesting<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requesting").field("object", &self.object).finish_non_exhaustive()
    }
}
