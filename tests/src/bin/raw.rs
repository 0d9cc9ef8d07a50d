//! A hand-written accept loop that takes no notice of a drain: answers each line with the slot, until
//! the client closes.
//!
//! With the argument `incoming` it reads `Incoming` instead and prints `incoming ended` when that ends.

use std::{future::poll_fn, io, pin::Pin};

use cluster::{TcpListener, TcpStream};
use futures_core::Stream;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

#[cluster::main(workers = 1, respawn)]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    if std::env::args().nth(1).as_deref() == Some("incoming") {
        let mut incoming = listener.incoming();
        while let Some(stream) = poll_fn(|cx| Pin::new(&mut incoming).poll_next(cx)).await {
            tokio::spawn(answer(stream?));
        }
        println!("incoming ended");
        return Ok(());
    }
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(stream));
    }
}

async fn answer(stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line).await? > 0 {
        let answer = format!("worker {}\n", cluster::worker().slot());
        lines.get_mut().write_all(answer.as_bytes()).await?;
        line.clear();
    }
    Ok(())
}
