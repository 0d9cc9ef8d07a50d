//! Workers that bind in a way that the first argument names.
//!
//! * `errors ADDRESS...` binds each and says `bind ADDRESS: OUTCOME`.
//! * `unresolved NAME...` binds each by every face, and says `FACE: OUTCOME`.
//! * `retry ADDRESS` binds until it works, says `bind ADDRESS: OUTCOME` for the first try, and serves.
//! * `several ADDRESS...` binds all in turn, says `slot S listener I: ADDRESS`, and serves them.
//! * `together ADDRESS...` the same with all binds under way at once.
//! * `rebind ADDRESS` serves; on USR1 binds again, says `again: OUTCOME`, drops the listener, binds
//!   anew, and says `rebound`.
//!
//! * `churn` binds and drops sockets of port 0, several at once, says `churned`, and serves one more.
//! * `abandon` gives up binds that are under way, says `abandoned`, and serves one.
//! * `datagrams ADDRESS` sends ten datagrams there from a socket of port 0, and says `sent`.
//! * `reuse` binds one UDP address twice with `reuse_port`, and says `both`.
//!
//! Every connection is answered with `slot S listener I`.

use std::{io, time::Duration};

use cluster::{TcpListener, TcpStream, UdpSocket, net::ListenOptions};
use cluster_tests::answer::answer;
use tokio::signal::unix::{SignalKind, signal};

#[cluster::main(workers = 2, respawn)]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let addresses: Vec<String> = arguments.collect();
    match mode.as_str() {
        "errors" => errors(&addresses).await,
        "unresolved" => unresolved(&addresses).await,
        "retry" => retry(&addresses[0]).await?,
        "several" => several(&addresses).await?,
        "together" => together(&addresses).await?,
        "rebind" => rebind(&addresses[0]).await?,
        "churn" => churn().await?,
        "abandon" => abandon().await?,
        "datagrams" => datagrams(&addresses[0]).await?,
        "reuse" => reuse().await?,
        other => return Err(io::Error::other(format!("no mode {other:?}"))),
    }
    cluster::draining().await;
    Ok(())
}

fn outcome<T>(bound: &io::Result<T>) -> String {
    match bound {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{:?} ({error})", error.kind()),
    }
}

async fn errors(addresses: &[String]) {
    for address in addresses {
        println!("bind {address}: {}", outcome(&TcpListener::bind(address).await));
    }
    cluster::set_ready();
}

async fn unresolved(names: &[String]) {
    for name in names {
        println!("tcp: {}", outcome(&TcpListener::bind(name).await));
        println!("udp: {}", outcome(&UdpSocket::bind(name).await));
        println!("blocking: {}", outcome(&cluster::blocking::TcpListener::bind(name)));
    }
    cluster::set_ready();
}

async fn retry(address: &str) -> io::Result<()> {
    let first = TcpListener::bind(address).await;
    println!("bind {address}: {}", outcome(&first));
    let mut bound = first;
    while bound.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        bound = TcpListener::bind(address).await;
    }
    tokio::spawn(serve(bound?, 0));
    Ok(())
}

async fn several(addresses: &[String]) -> io::Result<()> {
    for (number, address) in addresses.iter().enumerate() {
        announce(TcpListener::bind(address).await?, number)?;
    }
    Ok(())
}

async fn together(addresses: &[String]) -> io::Result<()> {
    let mut under_way = tokio::task::JoinSet::new();
    for address in addresses.iter().cloned() {
        under_way.spawn(async move { TcpListener::bind(address).await });
    }
    for (number, bound) in under_way.join_all().await.into_iter().enumerate() {
        announce(bound?, number)?;
    }
    Ok(())
}

fn announce(listener: TcpListener, number: usize) -> io::Result<()> {
    let slot = cluster::worker().slot();
    println!("slot {slot} listener {number}: {}", listener.local_addr()?);
    tokio::spawn(serve(listener, number));
    Ok(())
}

async fn rebind(address: &str) -> io::Result<()> {
    let mut user = signal(SignalKind::user_defined1())?;
    let mut listener = TcpListener::bind(address).await?;
    loop {
        tokio::select! {
            accepted = listener.accept() => one(accepted?.0, 0),
            _ = user.recv() => {
                println!("again: {}", outcome(&TcpListener::bind(address).await));
                drop(listener);
                listener = TcpListener::bind(address).await?;
                println!("rebound");
            }
            () = cluster::draining() => return Ok(()),
        }
    }
}

async fn churn() -> io::Result<()> {
    const ANY: &str = "127.0.0.1:0";
    for _ in 0..10 {
        let (a, b, c, d) = tokio::join!(
            TcpListener::bind(ANY),
            TcpListener::bind(ANY),
            UdpSocket::bind(ANY),
            UdpSocket::bind(ANY)
        );
        let (a, b, c, d) = (a?, b?, c?, d?);
        drop((b, c));
        let again = TcpListener::bind(ANY).await?;
        drop((a, d, again));
    }
    println!("churned");
    announce(TcpListener::bind(ANY).await?, 0)
}

async fn abandon() -> io::Result<()> {
    for _ in 0..50 {
        let bind = TcpListener::bind("127.0.0.1:0");
        // Asked, and gone before the answer.
        let _ = tokio::time::timeout(Duration::ZERO, bind).await;
    }
    println!("abandoned");
    announce(TcpListener::bind("127.0.0.1:0").await?, 0)
}

async fn datagrams(to: &str) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    for number in 0..10 {
        socket.send_to(format!("{} {number}", cluster::worker().slot()).as_bytes(), to).await?;
    }
    println!("sent");
    Ok(())
}

async fn reuse() -> io::Result<()> {
    let options = ListenOptions::new().reuse_port(true);
    let first = UdpSocket::bind_with("127.0.0.1:0", &options).await?;
    let _second = UdpSocket::bind_with(first.local_addr()?, &options).await?;
    println!("both");
    Ok(())
}

async fn serve(listener: TcpListener, number: usize) {
    while let Ok((stream, _)) = listener.accept().await {
        one(stream, number);
    }
}

fn one(mut stream: TcpStream, number: usize) {
    let body = format!("slot {} listener {number}", cluster::worker().slot());
    tokio::spawn(async move { answer(&mut stream, &body).await });
}
