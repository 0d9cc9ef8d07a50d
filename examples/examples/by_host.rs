//! Tenants by host: each is with one worker, which counts its requests in its own memory.
//!
//! ```text
//! cargo run --release --example by_host                  # or: ... -- 127.0.0.1:9000
//! curl -H 'Host: alice.example' http://127.0.0.1:8080/   # again and again: always the same slot
//! curl -H 'Host: bob.example' http://127.0.0.1:8080/
//! ```
//!
//! The master looks at the first bytes of each connection and hands it to the worker that owns the host in them, which
//! reads all of them. A connection stays where it is: a later request on it may be for a host of another worker, and
//! is answered 421, so that the client comes again with a connection of its own (RFC 9110).

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    routing::get,
};

/// By host; those of this worker alone.
static COUNTS: LazyLock<Mutex<HashMap<String, u64>>> = LazyLock::new(Mutex::default);

/// Anybody can invent hosts.
const HOSTS_MAX: usize = 10_000;

#[cluster::main(workers = 4, respawn, schedule = "by-host")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = cluster::TcpListener::bind(address).await?;
    if cluster::worker().id().as_u64() == 1 {
        println!("listening on http://{}", listener.local_addr()?);
    }
    let app = Router::new().route("/", get(count));
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

async fn count(headers: HeaderMap) -> Result<String, (StatusCode, &'static str)> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    // As the master sees it: in lower case, without the port.
    let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let worker = cluster::worker();
    if !worker.shard().owns(&host) {
        return Err((StatusCode::MISDIRECTED_REQUEST, "another worker has that host\n"));
    }
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    if counts.len() >= HOSTS_MAX && !counts.contains_key(&host) {
        return Err((StatusCode::INSUFFICIENT_STORAGE, "too many hosts\n"));
    }
    let count = counts.entry(host.clone()).or_default();
    *count += 1;
    Ok(format!("{host}: request {count}, slot {}\n", worker.slot()))
}
