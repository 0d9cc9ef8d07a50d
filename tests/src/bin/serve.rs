//! The ordinary server: `/` answers the slot, `/pid` the pid, `/slow` after 200 ms, `/exit/N` exits,
//! `/abort` aborts, `/spin` never returns, `/death` answers the signal that comes when the parent dies.
//!
//! Takes the address as its argument, `127.0.0.1:0` by default. Respawns always.

use axum::{Router, extract::Path, routing::get};
use cluster::{TcpListener, http::DrainLayer};

#[cluster::main(workers = 2, respawn)]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    let slot = cluster::worker().slot();
    let app = Router::new()
        .route("/", get(move || async move { format!("worker {slot}\n") }))
        .route("/pid", get(|| async { format!("{}\n", std::process::id()) }))
        .route("/slow", get(slow))
        .route("/exit/{code}", get(exit))
        .route("/abort", get(abort))
        .route("/spin", get(spin))
        .route("/death", get(death))
        .layer(DrainLayer);
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

async fn slow() -> &'static str {
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    "slow\n"
}

async fn exit(Path(code): Path<i32>) {
    std::process::exit(code)
}

async fn abort() {
    std::process::abort()
}

async fn death() -> String {
    let signal = rustix::process::parent_process_death_signal().expect("prctl(2)");
    format!("{signal:?}\n")
}

async fn spin() {
    loop {
        std::hint::spin_loop();
    }
}
