//! Workers that crash are replaced; the master's branch prints what happens.
//!
//! ```text
//! cargo run --release --example respawn                  # or: ... -- 127.0.0.1:9000
//! curl http://127.0.0.1:8080/                            # worker 0
//! curl http://127.0.0.1:8080/crash                       # empty reply; its worker is gone ...
//! curl http://127.0.0.1:8080/                            # ... and replaced before you can look
//! ab -r -c50 -n5000 http://127.0.0.1:8080/ & curl http://127.0.0.1:8080/crash
//! ```
//!
//! A worker that crashes within a second of being ready is replaced after a pause that grows from
//! 100 ms to 30 s; any other at once.

use axum::{Router, routing::get};
use cluster::{Event, Master, Role, TcpListener, http::DrainLayer};

#[cluster::main(workers = 2, respawn)]
async fn main(role: Role) -> std::io::Result<()> {
    match role {
        Role::Master(master) => watch(master).await,
        Role::Worker(worker) => serve(worker.slot()).await,
    }
    .inspect_err(|error| eprintln!("respawn: {error}"))
}

async fn watch(master: Master) -> std::io::Result<()> {
    let mut events = master.events();
    while let Some(event) = events.recv().await {
        println!("master: {event}");
        if matches!(event, Event::Ready { .. }) {
            println!("master: {} workers live", master.workers().len());
        }
    }
    Ok(())
}

async fn serve(slot: usize) -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    if cluster::worker().id().as_u64() == 1 {
        println!("listening on http://{}", listener.local_addr()?);
    }
    let app = Router::new()
        .route(
            "/",
            get(move || async move { format!("worker {slot}, pid {}\n", std::process::id()) }),
        )
        .route("/crash", get(crash))
        .layer(DrainLayer);
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

async fn crash() {
    std::process::abort();
}
