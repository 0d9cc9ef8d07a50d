//! Workers that accept and answer in the way that the first argument names; the second is the address,
//! `127.0.0.1:0` by default. Every connection is answered with `slot S peer ADDRESS`.
//!
//! `std` accepts from the socket itself, `blocking` does so in slot 0 only, with blocking calls; `poll`
//! uses `poll_accept`, `incoming` the stream; `split`, `reunite` and `parts` take the connection apart;
//! `axum` asks axum for the peer.

use std::{future::poll_fn, io, net::SocketAddr, pin::pin};

use axum::{Router, extract::ConnectInfo, routing::get};
use cluster::{TcpListener, TcpStream};
use cluster_tests::answer::{answer, read_request, write_answer};
use futures_core::Stream;

#[cluster::main(workers = 2, respawn)]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    match mode.as_str() {
        "std" => tokio::spawn(from_std(listener.into_std()?)),
        "blocking" if cluster::worker().slot() == 0 => return blocking(listener.into_std()?).await,
        "poll" => tokio::spawn(by_poll(listener)),
        "incoming" => return by_incoming(listener).await,
        "axum" => return by_axum(listener).await,
        _ => tokio::spawn(by_accept(listener, mode)),
    };
    cluster::draining().await;
    Ok(())
}

fn body(peer: SocketAddr) -> String {
    format!("slot {} peer {peer}", cluster::worker().slot())
}

async fn from_std(listener: std::net::TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (mut stream, peer) = listener.accept().await?;
        tokio::spawn(async move { answer(&mut stream, &body(peer)).await });
    }
}

/// Makes the socket blocking, which is a property that all its copies share.
async fn blocking(listener: std::net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(false)?;
    println!("slot 0 blocks");
    std::thread::spawn(move || -> io::Result<()> {
        loop {
            let (stream, peer) = listener.accept()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                stream.set_nonblocking(true)?;
                answer(&mut tokio::net::TcpStream::from_std(stream)?, &body(peer)).await
            })?;
        }
    });
    cluster::draining().await;
    Ok(())
}

async fn by_poll(listener: TcpListener) -> io::Result<()> {
    loop {
        let (mut stream, peer) = poll_fn(|cx| listener.poll_accept(cx)).await?;
        tokio::spawn(async move { answer(&mut stream, &body(peer)).await });
    }
}

/// Ends by itself when the worker drains.
async fn by_incoming(listener: TcpListener) -> io::Result<()> {
    let mut incoming = pin!(listener.incoming());
    while let Some(stream) = poll_fn(|cx| incoming.as_mut().poll_next(cx)).await {
        let stream = stream?;
        let peer = stream.peer_addr()?;
        tokio::spawn(plain(stream, peer));
    }
    println!("incoming ended");
    Ok(())
}

async fn by_axum(listener: TcpListener) -> io::Result<()> {
    let peer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { body(peer) };
    let app = Router::new().route("/", get(peer));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let listener = listener.with_connect_info();
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

async fn by_accept(listener: TcpListener, mode: String) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        match mode.as_str() {
            "split" => drop(tokio::spawn(split(stream, peer))),
            "reunite" => drop(tokio::spawn(reunite(stream, peer))),
            "parts" => drop(tokio::spawn(parts(stream, peer))),
            _ => drop(tokio::spawn(plain(stream, peer))),
        }
    }
}

async fn plain(mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    answer(&mut stream, &body(peer)).await
}

/// Each half in a task of its own.
async fn split(stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let (mut read, mut write) = stream.into_split();
    let asked = tokio::spawn(async move { read_request(&mut read).await.map(drop) });
    asked.await??;
    write_answer(&mut write, &body(peer)).await
}

async fn reunite(stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let (mut read, write) = stream.into_split();
    read_request(&mut read).await?;
    let mut stream = read.reunite(write).map_err(io::Error::other)?;
    write_answer(&mut stream, &body(peer)).await
}

async fn parts(stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let (mut stream, guard) = stream.into_parts();
    answer(&mut stream, &body(peer)).await?;
    drop(guard);
    Ok(())
}
