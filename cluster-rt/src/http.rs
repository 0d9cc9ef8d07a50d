//! `DrainLayer`: tells HTTP clients to close while this worker drains (feature `axum`).

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::http::{HeaderValue, Response, StatusCode, Version, header::CONNECTION};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::worker::try_current;

/// A tower layer that adds `Connection: close` to the answers of a draining worker.
///
/// Without it a client that keeps its connection alive may send the next request at the moment in which
/// the draining server closes, and get no answer. With it, such clients are told with the answer before,
/// and [`draining()`](crate::draining) resolves when they have gone (at the latest after one second).
/// HTTP/1 only: HTTP/2 has GOAWAY, which servers send by themselves. An upgrade, such as a WebSocket's, is
/// left as it is: end those when `draining()` resolves.
///
/// ```
/// # use axum::{Router, routing::get};
/// let app: Router = Router::new()
///     .route("/", get(|| async { "hello" }))
///     .layer(cluster::http::DrainLayer);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DrainLayer;

impl DrainLayer {
    /// The layer; the same as its name.
    pub fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Drain<S> {
        if let Some(current) = try_current() {
            current.drain.set_answers_close();
        }
        Drain { inner }
    }
}

/// The service that [`DrainLayer`] makes.
#[derive(Clone, Debug)]
pub struct Drain<S> {
    inner: S,
}

impl<S, Request, Body> Service<Request> for Drain<S>
where
    S: Service<Request, Response = Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = DrainFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        DrainFuture { answer: self.inner.call(request) }
    }
}

pin_project! {
    /// The future of [`Drain`].
    #[derive(Debug)]
    pub struct DrainFuture<F> {
        #[pin]
        answer: F,
    }
}

impl<F, Body, E> Future for DrainFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = ready!(self.project().answer.poll(cx));
        if let Ok(response) = &mut answer {
            let draining = try_current().is_some_and(|current| current.drain.is_draining());
            // In HTTP/2 the header is an error, and an upgrade, as to a WebSocket, fails without its own.
            let may_close = response.version() <= Version::HTTP_11
                && response.status() != StatusCode::SWITCHING_PROTOCOLS;
            if draining && may_close {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        Poll::Ready(answer)
    }
}
