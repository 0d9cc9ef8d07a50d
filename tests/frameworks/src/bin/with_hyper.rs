//! hyper: answers each request with the worker's slot and the request's body.

use std::pin::pin;

use futures_util::StreamExt;
use http_body_util::BodyExt;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};

#[cluster::main(workers = 2, respawn)]
async fn main() -> std::io::Result<()> {
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    let mut incoming = pin!(listener.incoming());
    let graceful = GracefulShutdown::new();
    // Ends when this worker drains.
    while let Some(stream) = incoming.next().await {
        let Ok(stream) = stream else { continue };
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(graceful.watch(connection));
    }
    graceful.shutdown().await;
    Ok(())
}

async fn answer(request: Request<Incoming>) -> hyper::Result<Response<String>> {
    let body = request.into_body().collect().await?.to_bytes();
    let body = String::from_utf8_lossy(&body);
    Ok(Response::new(format!("worker {}: {body}", cluster::worker().slot())))
}
