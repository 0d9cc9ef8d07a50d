//! A cluster whose processes fork: each path answers what came of it in one line.
//!
//! `/master/WHAT` is done by the master, `/WHAT` by the worker; with `workers = 0` by the only process. With
//! the argument `once WHAT` the worker does it and ends. WHAT: `count`, `storm/N`, `large/MIB`, `killed`,
//! `fd`, `born`, `dropped`, `codes`, `panic`, `garbage`, `many/N`.

use std::{
    io::{Read, Write},
    os::fd::OwnedFd,
    time::Duration,
};

use axum::{Router, extract::Path, routing::get};
use cluster::{Address, ClusterMessage, Error, Master, TcpListener, process};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize, ClusterMessage)]
struct Number(u64);

/// Text, which is copied at once: byte by byte, megabytes take seconds without optimization.
#[derive(Serialize, Deserialize, ClusterMessage)]
struct Bulk(String);

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = String)]
struct Do(String);

#[cluster::main(workers = 1, respawn, master = obey)]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("once") {
        println!("{}", carry_out(&arguments.next().expect("what")).await.expect("no error"));
        return Ok(());
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = Router::new().route("/master/{*what}", get(by_master)).route("/{*what}", get(here));
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

async fn obey(_master: Master) {
    let mut orders = cluster::subscribe::<Do>();
    while let Some(Ok(mail)) = orders.recv().await {
        let said = text(carry_out(&mail.body.0).await);
        mail.reply.send(&said).await.expect("a worker waits");
    }
}

fn text(outcome: Result<String, Error>) -> String {
    outcome.unwrap_or_else(|error| format!("error {error}"))
}

async fn by_master(Path(what): Path<String>) -> String {
    let asked = cluster::request(Address::Master, &Do(what));
    asked.timeout(Duration::from_secs(60)).await.expect("a reply")
}

async fn here(Path(what): Path<String>) -> String {
    text(carry_out(&what).await)
}

async fn carry_out(what: &str) -> Result<String, Error> {
    let (what, argument) = what.split_once('/').unwrap_or((what, "0"));
    let number: u64 = argument.parse().expect("a number");
    match what {
        "count" => count().await,
        "storm" => storm(number).await,
        "large" => large(number as usize).await,
        "killed" => killed().await,
        "fd" => descriptor().await,
        "born" => born().await,
        "dropped" => dropped().await,
        "codes" => codes().await,
        "garbage" => garbage().await,
        "many" => many(number).await,
        other => panic!("no such thing: {other}"),
    }
}

/// Adds what it is told, and tells the sum.
#[cluster::child]
async fn adder(mut parent: process::Parent<Number, Number>) {
    let mut sum = 0;
    while let Some(Ok(Number(n))) = parent.recv().await {
        sum += n;
        if parent.send(&Number(sum)).await.is_err() {
            return;
        }
    }
}

async fn count() -> Result<String, Error> {
    let mut child = process::fork(adder).await?;
    for n in 1..=10 {
        child.send(&Number(n)).await?;
    }
    let mut sums = Vec::new();
    for _ in 0..10 {
        sums.push(child.recv().await.expect("a sum")?.0);
    }
    child.disconnect()?;
    let twice = child.disconnect().expect_err("it is disconnected").is_unreachable();
    let refused = child.send(&Number(1)).await.is_err();
    let end = child.recv().await.is_none();
    let status = child.wait().await.expect("an end");
    Ok(format!("{:?}, {twice}, {refused}, {end}, {status}", sums.last()))
}

/// Sends as many as it is told first, while it receives as many.
#[cluster::child]
async fn stormy(mut parent: process::Parent<Number, Number>) {
    let Number(count) = parent.recv().await.expect("a number").expect("a number");
    let (sender, mut receiver) = parent.split();
    let sending = async {
        for n in 0..count {
            sender.send(&Number(n)).await.expect("the parent is there");
        }
    };
    let receiving = async {
        for n in 0..count {
            assert_eq!(receiver.recv().await.expect("a number").expect("a number"), Number(n));
        }
    };
    tokio::join!(sending, receiving);
}

async fn storm(count: u64) -> Result<String, Error> {
    let mut child = process::fork(stormy).await?;
    child.send(&Number(count)).await?;
    let sender = child.sender().expect("connected");
    let sending = tokio::spawn(async move {
        for n in 0..count {
            sender.send(&Number(n)).await.expect("the child is there");
        }
    });
    for n in 0..count {
        assert_eq!(child.recv().await.expect("a number")?, Number(n));
    }
    sending.await.expect("no panic");
    Ok(format!("{count} both ways, {}", child.wait().await.expect("an end")))
}

/// Sends one message of as many MiB as it is told, and returns.
#[cluster::child]
async fn sends_bulk(mut parent: process::Parent<Bulk, Number>) -> Result<(), Error> {
    let Number(mib) = parent.recv().await.expect("a number")?;
    parent.send(&Bulk("7".repeat((mib as usize) << 20))).await
}

async fn large(mib: usize) -> Result<String, Error> {
    let mut child = process::fork(sends_bulk).await?;
    child.send(&Number(mib as u64)).await?;
    // It has ended by then, as far as it can.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let bulk = child.recv().await.map(|bulk| bulk.map(|bulk| bulk.0.len() >> 20));
    let too_large = child.wait().await.expect("an end").code() == Some(1);
    Ok(format!("{:?}, too large: {too_large}", bulk.transpose()?))
}

/// Writes to every descriptor that may be its channel.
fn write_raw(bytes: &[u8]) {
    let fds = std::fs::read_dir("/proc/self/fd").expect("/proc");
    let numbers = fds.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers.filter(|number| *number > 2).collect::<Vec<_>>() {
        let own = cluster_tests::proc::Process::this();
        if let Some(copy) = cluster_tests::foreign::copy(&own, number) {
            let _ = rustix::io::write(&copy, bytes);
        }
    }
}

/// Is killed in the middle of a message.
#[cluster::child]
async fn half(mut parent: process::Parent<Bulk, Number>) {
    parent.recv().await;
    write_raw(&[200, 0, 0, 0, 0, 1, 2, 3]);
    cluster_tests::send_signal(
        cluster_tests::proc::Process::this().pid,
        cluster_tests::Signal::KILL,
    );
    std::future::pending::<()>().await;
}

async fn killed() -> Result<String, Error> {
    let mut child = process::fork(half).await?;
    child.send(&Number(1)).await?;
    let mut came = Vec::new();
    while let Some(message) = child.recv().await {
        came.push(message.is_ok());
    }
    let status = child.wait().await.expect("an end");
    let refused = child.send(&Number(1)).await.is_err();
    Ok(format!("{came:?}, {refused}, {status}"))
}

/// Writes into the file that it is given, and gives it back.
#[cluster::child]
async fn writes(mut parent: process::Parent<Number, Number>) -> Result<(), Error> {
    while let Some(message) = parent.recv_with_fd().await {
        let (number, fd) = message?;
        let Some(fd) = fd else { continue };
        let mut file = std::fs::File::from(fd);
        write!(file, "{}", number.0).expect("a socket");
        parent.send_with_fd(&number, file).await?;
    }
    Ok(())
}

async fn descriptor() -> Result<String, Error> {
    let mut child = process::fork(writes).await?;
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    child.send(&Number(0)).await?;
    child.send_with_fd(&Number(42), OwnedFd::from(theirs)).await?;
    let (number, back) = child.recv_with_fd().await.expect("a message")?;
    drop(back.expect("the descriptor"));
    child.disconnect()?;
    let status = child.wait().await.expect("an end");
    let mut said = String::new();
    { ours }.read_to_string(&mut said).expect("text, and the end");
    Ok(format!("{number:?}, {said}, {status}"))
}

#[derive(Serialize, Deserialize, ClusterMessage)]
struct Born(String);

/// Tells with what it was born.
#[cluster::child]
async fn newborn(parent: process::Parent<Born, Number>) -> Result<(), Error> {
    let mut fds: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .expect("/proc")
        .filter_map(|entry| {
            std::fs::read_link(entry.ok()?.path()).ok()?.to_str().map(str::to_owned)
        })
        .filter(|target| !target.starts_with("/proc/") && !target.starts_with("anon_inode"))
        .collect();
    fds.sort();
    let kinds: Vec<&str> = fds.iter().map(|fd| fd.split(':').next().unwrap_or_default()).collect();
    let own = std::env::vars().filter(|(name, _)| name.starts_with("CLUSTER_")).count();
    parent.send(&Born(format!("{kinds:?}, {own} variables"))).await
}

async fn born() -> Result<String, Error> {
    let mut child = process::fork(newborn).await?;
    Ok(child.recv().await.expect("a message")?.0)
}

/// Starts another process, tells both pids, and stays.
#[cluster::child]
async fn stays(mut parent: process::Parent<Number, Number>) {
    let mut sleeper = std::process::Command::new("sleep").arg("1002").spawn().expect("sleep");
    parent.send(&Number(sleeper.id().into())).await.expect("the parent is there");
    parent.recv().await;
    sleeper.wait().expect("a child");
}

async fn dropped() -> Result<String, Error> {
    let mut child = process::fork(stays).await?;
    let Number(sleeper) = child.recv().await.expect("a message")?;
    let pids = format!("{} {sleeper}", child.id());
    drop(child);
    Ok(pids)
}

#[cluster::child]
async fn ends(mut parent: process::Parent<Number, Number>) -> std::process::ExitCode {
    match parent.recv().await {
        Some(Ok(Number(256))) => panic!("as told"),
        Some(Ok(Number(code))) => std::process::ExitCode::from(code as u8),
        _ => std::process::ExitCode::from(99),
    }
}

async fn codes() -> Result<String, Error> {
    let mut codes = Vec::new();
    for code in [0, 7, 256] {
        let mut child = process::fork(ends).await?;
        child.send(&Number(code)).await?;
        codes.push(child.wait().await.expect("an end").code());
    }
    let mut child = process::fork(ends).await?;
    child.disconnect()?;
    codes.push(child.wait().await.expect("an end").code());
    Ok(format!("{codes:?}"))
}

/// Writes to its channel what is no message.
#[cluster::child]
async fn babbles(_parent: process::Parent<Number, Number>) {
    write_raw(&[0xff; 64]);
}

async fn garbage() -> Result<String, Error> {
    let mut child = process::fork(babbles).await?;
    let mut came = Vec::new();
    while let Some(message) = child.recv().await {
        came.push(message.map_err(|error| error.to_string()));
    }
    child.wait().await.expect("an end");
    Ok(format!("{came:?}"))
}

async fn many(count: u64) -> Result<String, Error> {
    for n in 0..count {
        let mut child = process::fork(adder).await?;
        child.send(&Number(n)).await?;
        assert_eq!(child.recv().await.expect("a sum")?, Number(n));
        child.disconnect()?;
        assert!(child.wait().await.expect("an end").success());
    }
    Ok(format!("{count} forked"))
}
