//! A cluster whose master's branch does what it is told over a socket: it prints `orders to ADDRESS`,
//! reads one word (`stop`, `kill`, `fail`, `panic`, `leave`), does that, and prints what came of it.
//!
//! The workers answer as those of `raw` do.

use std::{io, process::ExitCode};

use cluster::{Master, Role, TcpStream};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

#[cluster::main(workers = 2, respawn)]
async fn main(role: Role) -> ExitCode {
    match role {
        Role::Master(master) => obey(&master).await.expect("an order comes"),
        Role::Worker(_) => {
            serve().await.expect("a listener");
            ExitCode::SUCCESS
        }
    }
}

async fn obey(master: &Master) -> io::Result<ExitCode> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("orders to {}", listener.local_addr()?);
    let (mut stream, _) = listener.accept().await?;
    let mut word = String::new();
    stream.read_to_string(&mut word).await?;
    let stopped = match word.trim() {
        "stop" => master.stop().await,
        "kill" => master.kill().await,
        "fail" => return Ok(ExitCode::from(7)),
        "panic" => panic!("as ordered"),
        _ => return Ok(ExitCode::SUCCESS),
    };
    println!("drained {}, killed {}", stopped.drained, stopped.killed);
    // For as long as the master gives it, so that the test sees who lives now.
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    Ok(ExitCode::SUCCESS)
}

async fn serve() -> io::Result<()> {
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(stream));
    }
}

async fn answer(stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line).await? > 0 {
        lines.get_mut().write_all(b"here\n").await?;
        line.clear();
    }
    Ok(())
}
