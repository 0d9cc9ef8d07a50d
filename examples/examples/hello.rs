//! An axum server in several processes. Answers `worker <slot>`.
//!
//! ```text
//! cargo run --release --example hello                    # or: ... -- 127.0.0.1:9000
//! curl http://127.0.0.1:8080/                            # worker 0, then 1, ...
//! ab -c200 -n40000 http://127.0.0.1:8080/
//! ps -ef | grep hello                                    # master, zygote, workers
//! kill -9 <a worker's pid>                               # and go on as if nothing had been
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
    let answer = format!("worker {}\n", worker.slot());
    let app =
        Router::new().route("/", get(move || std::future::ready(answer.clone()))).layer(DrainLayer);
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}
