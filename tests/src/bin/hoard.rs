//! A server that on USR1 opens files until no descriptor is left, and then at once every one that becomes
//! free; on USR2 it closes them. Answers its slot, serves `127.0.0.1:0`.
//!
//! Says `slot N hoards` when none is left and `slot N released`.

use std::{fs::File, io, time::Duration};

use axum::{Router, routing::get};
use tokio::signal::unix::{Signal, SignalKind, signal};

#[cluster::main(workers = 2, respawn)]
async fn main() -> io::Result<()> {
    let (begin, end) = (signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?);
    tokio::spawn(hoard(begin, end));
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    let slot = cluster::worker().slot();
    let app = Router::new().route("/", get(move || async move { format!("{slot}\n") }));
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

async fn hoard(mut begin: Signal, mut end: Signal) {
    let slot = cluster::worker().slot();
    loop {
        begin.recv().await;
        let mut files = open_all();
        println!("slot {slot} hoards");
        let mut look = tokio::time::interval(Duration::from_millis(1));
        loop {
            tokio::select! {
                _ = look.tick() => files.append(&mut open_all()),
                _ = end.recv() => break,
            }
        }
        drop(files);
        println!("slot {slot} released");
    }
}

fn open_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}
