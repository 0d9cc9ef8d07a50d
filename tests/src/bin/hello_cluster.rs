//! What `versus` compares: hello on a cluster. The schedule and the number of workers come from the environment.

use axum::{Router, routing::get};

#[cluster::main(workers = 2, respawn)]
async fn main() -> std::io::Result<()> {
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    // The next it does is to accept.
    println!("slot {} serves", cluster::worker().slot());
    let app = Router::new().route("/", get(|| async { "hello" }));
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}
