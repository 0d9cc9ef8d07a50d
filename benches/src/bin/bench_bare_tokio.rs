//! The peer that is nothing but tokio: a Unix socket between two processes, and how long one takes to start.
//!
//! The floor of what a round trip and a fork can cost: no frames, no addresses, no third thread.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdStream,
    },
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use cluster_benches::{Row, Scene, next_count, say_elapsed, say_ready};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// What the other process says first, unasked.
const WORD: u8 = b'w';

/// The first argument of the other process; its stdin is the socket.
const OTHER: &str = "other";

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    if let (Some(OTHER), Some(bytes)) = (args.next().as_deref(), args.next()) {
        let bytes = bytes.parse().map_err(io::Error::other)?;
        return give_back(io::stdin().as_fd().try_clone_to_owned()?, bytes).await;
    }
    let row = Row::from_args()?;
    match row.scene {
        Scene::RoundTrip => lead(row.bytes).await,
        Scene::Fork => fork_all().await,
        Scene::Broadcast => Err(io::Error::other("this peer knows what is between two only")),
    }
}

/// Starts the other process, and waits for its word.
async fn start_other(bytes: usize) -> io::Result<(Child, UnixStream)> {
    let (own, others) = StdStream::pair()?;
    own.set_nonblocking(true)?;
    let mut own = UnixStream::from_std(own)?;
    let other = Command::new(std::env::current_exe()?)
        .args([OTHER, &bytes.to_string()])
        .stdin(Stdio::from(OwnedFd::from(others)))
        .spawn()?;
    assert_eq!(own.read_u8().await?, WORD);
    Ok((other, own))
}

async fn fork_all() -> io::Result<()> {
    say_ready()?;
    while let Some(count) = next_count()? {
        let mut elapsed = Duration::ZERO;
        for _ in 0..count {
            let begun = Instant::now();
            let (mut other, socket) = start_other(0).await?;
            elapsed += begun.elapsed();
            drop(socket);
            other.wait()?;
        }
        say_elapsed(elapsed)?;
    }
    Ok(())
}

async fn lead(bytes: usize) -> io::Result<()> {
    let (mut other, mut socket) = start_other(bytes).await?;
    let (question, mut answer) = (vec![b'x'; bytes], vec![0; bytes]);
    say_ready()?;
    while let Some(count) = next_count()? {
        let begun = Instant::now();
        for _ in 0..count {
            socket.write_all(&question).await?;
            socket.read_exact(&mut answer).await?;
        }
        say_elapsed(begun.elapsed())?;
    }
    drop(socket);
    other.wait().map(drop)
}

/// The other process, until the first one is gone.
async fn give_back(socket: OwnedFd, bytes: usize) -> io::Result<()> {
    let socket = StdStream::from(socket);
    socket.set_nonblocking(true)?;
    let mut socket = UnixStream::from_std(socket)?;
    socket.write_u8(WORD).await?;
    if bytes == 0 {
        return Ok(());
    }
    let mut message = vec![0; bytes];
    while socket.read_exact(&mut message).await.is_ok() {
        socket.write_all(&message).await?;
    }
    Ok(())
}
