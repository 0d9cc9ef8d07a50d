//! A server whose master prints every event: `event MILLISECONDS TEXT`, by the monotonic clock.
//!
//! Binds `127.0.0.1:0`, answers its slot, `/slow` after 200 ms. Respawns always.

use axum::{Router, routing::get};
use cluster::{Master, TcpListener, http::DrainLayer};

#[cluster::main(workers = 3, respawn, master = watch)]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let slot = cluster::worker().slot();
    let app = Router::new()
        .route("/", get(move || async move { format!("worker {slot}\n") }))
        .route("/slow", get(slow))
        .layer(DrainLayer);
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

async fn slow() -> &'static str {
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    "slow\n"
}

async fn watch(master: Master) {
    let mut events = master.events();
    while let Some(event) = events.recv().await {
        println!("event {:.3} {event}", cluster_tests::monotonic_ms());
    }
}
