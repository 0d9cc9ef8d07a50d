//! What a cluster is for: a handler that burns about 5 ms of CPU, on every core instead of one.
//!
//! ```text
//! cargo run --release --example cluster                  # or: ... -- 127.0.0.1:9000
//! ab -c16 -n2000 http://127.0.0.1:8080/                  # note "Requests per second"
//!
//! CLUSTER_WORKERS=0 cargo run --release --example cluster   # the same program, one process
//! ab -c16 -n2000 http://127.0.0.1:8080/                  # about one core's worth of that
//! ```

use axum::{Router, routing::get};
use cluster::{TcpListener, http::DrainLayer};

#[cluster::main(respawn)]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    let worker = cluster::worker();
    if worker.id().as_u64() == 1 {
        println!("listening on http://{}", listener.local_addr()?);
    }
    let answer = move || async move { format!("worker {}: {:x}\n", worker.slot(), burn()) };
    let app = Router::new().route("/", get(answer)).layer(DrainLayer);
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

/// Work that no compiler leaves out, about 5 ms of it on a present-day core.
fn burn() -> u64 {
    const ROUNDS: u64 = 4_000_000;
    (0..ROUNDS).fold(0x9e37_79b9_7f4a_7c15, |state: u64, round| {
        std::hint::black_box(state.rotate_left(5) ^ round).wrapping_mul(0x2545_f491_4f6c_dd1d)
    })
}
