//! axum: answers each request with the worker's slot and the request's body.

use axum::{Router, routing::post};

#[cluster::main(workers = 2, respawn)]
async fn main() -> std::io::Result<()> {
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    let app = Router::new().route("/", post(answer).get(answer));
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

async fn answer(body: String) -> String {
    format!("worker {}: {body}", cluster::worker().slot())
}
