//! The peer that is nothing but tokio: a round trip over a Unix socket between two processes.
//!
//! The floor of what a round trip can cost: no frames, no addresses, no third thread.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdStream,
    },
    process::{Command, Stdio},
    time::Instant,
};

use cluster_benches::{Row, Scene, next_count, say_elapsed, say_ready};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

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
    if row.scene != Scene::RoundTrip || row.workers != 1 {
        return Err(io::Error::other("this peer knows the round trip between two only"));
    }
    let (own, others) = StdStream::pair()?;
    let mut other = Command::new(std::env::current_exe()?)
        .args([OTHER, &row.bytes.to_string()])
        .stdin(Stdio::from(OwnedFd::from(others)))
        .spawn()?;
    lead(own, row.bytes).await?;
    other.wait().map(drop)
}

async fn lead(socket: StdStream, bytes: usize) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let mut socket = UnixStream::from_std(socket)?;
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
    Ok(())
}

/// The other process, until the first one is gone.
async fn give_back(socket: OwnedFd, bytes: usize) -> io::Result<()> {
    let socket = StdStream::from(socket);
    socket.set_nonblocking(true)?;
    let mut socket = UnixStream::from_std(socket)?;
    let mut message = vec![0; bytes];
    while socket.read_exact(&mut message).await.is_ok() {
        socket.write_all(&message).await?;
    }
    Ok(())
}
