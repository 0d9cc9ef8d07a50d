//! actix-web: answers each request with the worker's slot and the request's body.
//!
//! It accepts by itself, from the socket that the workers then share.

use std::time::Duration;

use actix_web::{App, HttpServer, web};

#[cluster::main(workers = 2, respawn)]
async fn main() -> std::io::Result<()> {
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?.into_std()?;
    let server = HttpServer::new(|| App::new().route("/", web::to(answer)))
        .workers(1)
        .disable_signals()
        .listen(listener)?
        .run();
    let handle = server.handle();
    tokio::spawn(async move {
        cluster::draining().await;
        // What it accepts is not counted: give what has just come the time to say what it wants.
        tokio::time::sleep(Duration::from_millis(250)).await;
        handle.stop(true).await;
    });
    server.await
}

async fn answer(body: String) -> String {
    format!("worker {}: {body}", cluster::worker().slot())
}
