//! Two services, `other` with one worker and `web` with three, which listens by the schedule and the options given.
//!
//! Arguments: the schedule's name, then any of `timeout=MS`, `bytes=N`, `waiting=N`, `close`, `table=KEY:SLOT`.
//!
//! A worker of `web` says `slot S index I` at once, reads until the client ends, and answers
//! `read N owns OWNS`: how many bytes came, and whether the key is its own that stands behind `key=` at their end.
//! The master prints `orders to ADDRESS` and every event as `event TEXT`; an order is a number of workers of `web`,
//! each of which says `slot S knows of N` when it is told.

use std::{io, time::Duration};

use cluster::{
    Master, Schedule, TcpListener,
    net::{ListenOptions, Peek, PeekOptions, WithoutKey},
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

#[cluster::main(respawn, grace = "5s", services(other = 1, web = 3))]
async fn main(master: Master) -> io::Result<()> {
    let mut events = master.events();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            println!("event {event}");
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("orders to {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let done = master.scale_service("web", line.trim().parse().expect("a number")).await;
        stream.get_mut().write_all(format!("{done:?}").as_bytes()).await?;
    }
}

async fn other() {
    cluster::set_ready();
    cluster::draining().await;
}

async fn web() -> io::Result<()> {
    let mut changes = cluster::worker().shard_changes();
    tokio::spawn(async move {
        loop {
            let count = changes.next().await.count;
            println!("slot {} knows of {count}", cluster::worker().slot());
        }
    });
    let listener = TcpListener::bind_with("127.0.0.1:0", &options()).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream));
    }
}

async fn serve(mut stream: cluster::TcpStream) -> io::Result<()> {
    let (slot, shard) = (cluster::worker().slot(), cluster::worker().shard());
    stream.write_all(format!("slot {slot} index {}\n", shard.index).as_bytes()).await?;
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await?;
    let text = String::from_utf8_lossy(&read);
    let key = text.rsplit_once("key=").map_or("", |(_, key)| key);
    let answer = format!("read {} owns {}\n", read.len(), shard.owns(key));
    stream.write_all(answer.as_bytes()).await
}

fn options() -> ListenOptions {
    let mut arguments = std::env::args().skip(1);
    let schedule = match arguments.next().expect("a schedule").as_str() {
        "by-host" => Schedule::ByKey(Peek::Host),
        "by-server-name" => Schedule::ByKey(Peek::ServerName),
        "by-proxy" => Schedule::ByKey(Peek::Proxy),
        "by-line" => Schedule::ByKey(Peek::Line),
        // As CLUSTER_SCHEDULE says.
        _ => return ListenOptions::new(),
    };
    let mut peek = PeekOptions::new();
    for argument in arguments {
        let (name, value) = argument.split_once('=').unwrap_or((&argument, ""));
        let number = || value.parse::<usize>().expect("a number");
        peek = match name {
            "timeout" => peek.timeout(Duration::from_millis(number() as u64)),
            "bytes" => peek.bytes_max(number()),
            "waiting" => peek.waiting_max(number()),
            "close" => peek.without_key(WithoutKey::Close),
            "table" => {
                let (key, slot) = value.split_once(':').expect("a key and its slot");
                peek.table([(key, slot.parse().expect("a slot"))])
            }
            other => panic!("no option: {other}"),
        };
    }
    ListenOptions::new().schedule(schedule).peek(peek)
}
