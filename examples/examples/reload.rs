//! A cluster that changes while it serves: more workers, one replaced, all replaced, and what the numbers
//! say in the end. Ends by itself.
//!
//! ```text
//! cargo run --release --example reload
//! ```
//!
//! In production you would deploy a new program at the same path and send the master a HUP, or call
//! `master.reload()` from an admin route of its own; here the program is its own successor. Meanwhile the master
//! asks itself over HTTP again and again, and counts what is not answered: nothing.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use axum::{Router, routing::get};
use cluster::{Event, Events, Master, Role, TcpListener, http::DrainLayer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[cluster::main(workers = 2, respawn)]
async fn main(role: Role) -> io::Result<()> {
    match role {
        Role::Master(master) => direct(&master).await,
        Role::Worker(worker) => serve(worker.generation(), worker.slot()).await,
    }
}

async fn serve(generation: u32, slot: usize) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let text = format!("generation {generation}, slot {slot}\n");
    let app = Router::new().route("/", get(move || async move { text })).layer(DrainLayer);
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

/// What the master does: one order after the other, each awaited until it is done.
async fn direct(master: &Master) -> io::Result<()> {
    let address = first_ready(&mut master.events()).await.ok_or(io::ErrorKind::NotConnected)?;
    let counts = Arc::<Counts>::default();
    let asking = tokio::spawn(ask_for_ever(address, Arc::clone(&counts)));

    println!("scale: {:?}", master.scale(4).await?);
    println!("respawn: {:?}", master.respawn(0).await?);
    println!("reload: {:?}", master.reload().await?);
    println!("scale: {:?}", master.scale(2).await?);
    println!("answer: {}", ask(address).await?.lines().last().unwrap_or_default());
    println!("stats: {}", master.stats().await?);

    asking.abort();
    let (answered, failed) = (counts.answered.load(Relaxed), counts.failed.load(Relaxed));
    println!("meanwhile {answered} requests were answered, {failed} were not");
    let stopped = master.stop().await;
    println!("stopped: {} drained, {} killed", stopped.drained, stopped.killed);
    Ok(())
}

/// Waits for the first ready worker, and returns where it listens.
async fn first_ready(events: &mut Events) -> Option<SocketAddr> {
    let mut address = None;
    loop {
        match events.recv().await? {
            Event::Listening { addr, .. } => address = Some(addr),
            Event::Ready { .. } => return address,
            _ => {}
        }
    }
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    failed: AtomicU64,
}

async fn ask_for_ever(address: SocketAddr, counts: Arc<Counts>) {
    loop {
        let asked = ask(address).await;
        if asked.is_ok() { &counts.answered } else { &counts.failed }.fetch_add(1, Relaxed);
    }
}

/// One request on a connection of its own.
async fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: example\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.starts_with("HTTP/1.1 200") { Ok(answer) } else { Err(io::ErrorKind::Other.into()) }
}
