//! The server of `hello` without a cluster: one process, plain tokio. To compare with.
//!
//! ```text
//! cargo run --release --example single                   # or: ... -- 127.0.0.1:9000
//! curl http://127.0.0.1:8080/
//! ab -c200 -n40000 http://127.0.0.1:8080/
//! ```

use axum::{Router, routing::get};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let answer = "worker 0\n".to_owned();
    let app = Router::new().route("/", get(move || std::future::ready(answer.clone())));
    axum::serve(listener, app).await
}
