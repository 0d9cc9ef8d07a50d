//! What `versus` compares with: the same hello without a cluster, on plain tokio.
//!
//! * `single`: one process with one thread;
//! * `threads N`: one process with a runtime of N threads;
//! * `reuseport N`: N processes of one thread, each with a socket of its own on one port.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
};

use axum::{Router, routing::get};
use tokio::{
    net::{TcpListener, TcpSocket},
    runtime::{Builder, Runtime},
};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["single"] => one_thread()?.block_on(async { serve(bind(any_port(), false)?).await }),
        ["threads", count] => {
            let runtime =
                Builder::new_multi_thread().worker_threads(number(count)?).enable_all().build()?;
            runtime.block_on(async { serve(bind(any_port(), false)?).await })
        }
        ["reuseport", count] => one_thread()?.block_on(lead(number(count)?)),
        ["sharer", address] => {
            let address = address.parse().map_err(io::Error::other)?;
            one_thread()?.block_on(async { serve(bind(address, true)?).await })
        }
        _ => Err(io::Error::other("arguments: single | threads N | reuseport N")),
    }
}

/// Finds a port, and starts the others on it. Whoever ends this one ends them too.
async fn lead(count: usize) -> io::Result<()> {
    let listener = bind(any_port(), true)?;
    let address = listener.local_addr()?.to_string();
    let this = std::env::current_exe()?;
    let others = (1..count).map(|_| Command::new(&this).args(["sharer", &address]).spawn());
    let _others = others.collect::<io::Result<Vec<_>>>()?;
    serve(listener).await
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, Router::new().route("/", get(|| async { "hello" }))).await
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    socket.bind(address)?;
    socket.listen(1024)
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn one_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn number(text: &str) -> io::Result<usize> {
    text.parse().map_err(io::Error::other)
}
