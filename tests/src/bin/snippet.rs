//! A server that knows nothing of drains and ends by tokio's standard shutdown snippet; prints
//! `snippet fired` when it does.
//!
//! With the argument `int` the snippet waits for `ctrl_c` alone, otherwise for SIGTERM too.

use std::io;

use axum::{Router, routing::get};
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

#[cluster::main(workers = 2, respawn)]
async fn main() -> io::Result<()> {
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    let app = Router::new().route("/", get(|| async { "hello\n" }));
    axum::serve(listener, app).with_graceful_shutdown(shutdown()).await
}

async fn shutdown() {
    let int = async { ctrl_c().await.expect("a handler for INT") };
    if std::env::args().nth(1).as_deref() == Some("int") {
        int.await;
    } else {
        let mut term = signal(SignalKind::terminate()).expect("a handler for TERM");
        tokio::select! {
            () = int => {}
            _ = term.recv() => {}
        }
    }
    println!("snippet fired");
}
