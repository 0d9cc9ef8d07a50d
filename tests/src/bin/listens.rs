//! Workers that listen in the way the arguments say, and answer `slot S`.
//!
//! `tcp ADDRESS`, `unix PATH`, `udp ADDRESS`, or `tcp-inherited`, `unix-inherited`, `udp-inherited` with a
//! name or number; then any of
//!
//! * `schedule=NAME`, `backlog=N`, `v6only=BOOL`, `waiting=N`, `mode=OCTAL`, `owner=USER`, `group=GROUP`,
//!   `inherited=NAME`, `close`, `exclusive`, `reuse_port`;
//! * `max=A,B,..`: the most connections, by slot;
//! * `slow=SLOT:MS`: how long an answer takes there;
//! * `datagrams=N`: after so many the socket is dropped;
//! * `connections=N`: after so many from `tcp` the listener is dropped, or with `keep` only left alone, and the
//!   worker says so and lives on.
//!
//! Each bind is said: `slot S: bound`, or `slot S: ERROR`, and each event: `event TEXT`. A request for `/hold` is
//! answered and its connection kept until the client closes it.

use std::{collections::BTreeMap, io, time::Duration};

use cluster::{
    Master, Schedule, TcpListener, UdpSocket, UnixListener,
    net::{Inherited, ListenOptions, WhenFull},
};
use cluster_tests::answer::{read_request, write_answer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

type Given = BTreeMap<String, String>;

#[cluster::main(workers = 4, respawn, master = watch)]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_default();
    let target = arguments.next().unwrap_or_default();
    let given: Given = arguments
        .map(|a| {
            a.split_once('=').map_or((a.clone(), String::new()), |(n, v)| (n.into(), v.into()))
        })
        .collect();
    let options = options(&given);
    match kind.as_str() {
        "tcp" => tcp(said(TcpListener::bind_with(&target, &options).await)?, &given).await,
        "tcp-inherited" => tcp(said(TcpListener::inherited(which(&target)).await)?, &given).await,
        "unix" => unix(said(UnixListener::bind_with(&target, &options).await)?, &given).await,
        "unix-inherited" => {
            unix(said(UnixListener::inherited(which(&target)).await)?, &given).await
        }
        "udp" => udp(said(UdpSocket::bind_with(&target, &options).await)?, &given).await,
        "udp-inherited" => udp(said(UdpSocket::inherited(which(&target)).await)?, &given).await,
        other => Err(io::Error::other(format!("no kind {other:?}"))),
    }
}

async fn watch(master: Master) {
    let mut events = master.events();
    while let Some(event) = events.recv().await {
        println!("event {event}");
    }
}

fn slot() -> usize {
    cluster::worker().slot()
}

/// Says the outcome; with an error the worker is ready and waits, so that all can be seen.
fn said<T>(bound: io::Result<T>) -> io::Result<T> {
    match &bound {
        Ok(_) => println!("slot {}: bound", slot()),
        Err(error) => println!("slot {}: {error}", slot()),
    }
    bound
}

fn which(target: &str) -> Inherited {
    target.parse::<i32>().map_or_else(|_| target.into(), Inherited::from)
}

fn options(given: &Given) -> ListenOptions {
    let mut options = ListenOptions::new();
    for (name, value) in given {
        let number = || value.parse().expect("a number");
        options = match name.as_str() {
            "schedule" => options.schedule(schedule(value)),
            "backlog" => options.backlog(value.parse().expect("a number")),
            "v6only" => options.v6only(value.parse().expect("true or false")),
            "waiting" => options.waiting_max(number()),
            "mode" => options.mode(u32::from_str_radix(value, 8).expect("a mode")),
            "owner" => options.owner(value),
            "group" => options.group(value),
            "inherited" => options.inherited(which(value)),
            "close" => options.when_full(WhenFull::Close),
            "exclusive" => options.exclusive(true),
            "reuse_port" => options.reuse_port(true),
            "max" => {
                let limits: Vec<usize> =
                    value.split(',').map(|n| n.parse().expect("a number")).collect();
                limits.get(slot()).map_or(options.clone(), |&n| options.connections_max(n))
            }
            _ => options,
        }
    }
    options
}

fn schedule(name: &str) -> Schedule {
    match name {
        "least-connections" => Schedule::LeastConnections,
        "sticky" => Schedule::Sticky,
        "shared" => Schedule::Shared,
        "kernel" => Schedule::Kernel,
        _ => Schedule::RoundRobin,
    }
}

async fn tcp(listener: TcpListener, given: &Given) -> io::Result<()> {
    let delay = delay(given);
    let most = given.get("connections").map_or(usize::MAX, |n| n.parse().expect("a number"));
    for _ in 0..most {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream, delay));
    }
    let kept = given.contains_key("keep").then_some(listener);
    println!("slot {} accepts no more", slot());
    cluster::set_ready();
    cluster::draining().await;
    drop(kept);
    Ok(())
}

async fn unix(listener: UnixListener, given: &Given) -> io::Result<()> {
    let delay = delay(given);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream, delay));
    }
}

fn delay(given: &Given) -> Duration {
    let slow = given.get("slow").and_then(|slow| slow.split_once(':'));
    let own = slow.filter(|(of, _)| of.parse() == Ok(slot()));
    Duration::from_millis(own.map_or(0, |(_, ms)| ms.parse().expect("milliseconds")))
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, delay: Duration) -> io::Result<()> {
    let request = read_request(&mut stream).await?;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let body = format!("slot {}", slot());
    if !request.starts_with(b"GET /hold") {
        return write_answer(&mut stream, &body).await;
    }
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await?;
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

async fn udp(socket: UdpSocket, given: &Given) -> io::Result<()> {
    let most = given.get("datagrams").map_or(usize::MAX, |n| n.parse().expect("a number"));
    let mut buffer = [0; 1500];
    for _ in 0..most {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = cluster::draining() => return Ok(()),
        };
        let (_, peer) = received?;
        socket.send_to(format!("slot {}", slot()).as_bytes(), peer).await?;
    }
    drop(socket);
    cluster::draining().await;
    Ok(())
}
