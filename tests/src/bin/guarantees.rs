//! Workers and master that try what is promised of messages; the first argument says what.
//!
//! The master begins when every worker is ready. What came of it is printed.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cluster::{
    Address, ClusterMessage, Event, Master, Role, Worker, WorkerId, broadcast, broadcast_to, send,
    subscribe, try_send,
};
use cluster_tests::monotonic_ms;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

/// From the master: everybody is there.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
struct Begin {
    /// By slot.
    workers: Vec<WorkerId>,
}

/// Who sent it, which of theirs it is, and bytes that are all the first number.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
struct Bulk(u8, u64, Vec<u8>);

/// A text, since that is encoded as a whole and not byte by byte.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
struct Heavy(u64, String);

#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
struct Note(String);

/// As one build of a program has it, and as another.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
#[message(name = "shop::News")]
struct News(u32);

#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
#[message(name = "shop::News")]
struct OtherNews(String);

#[cluster::main(workers = 3, respawn, flavor = "multi_thread", worker_threads = 2)]
async fn main(role: Role) -> io::Result<()> {
    let scene = std::env::args().nth(1).expect("a scene");
    match role {
        Role::Master(master) => lead(&scene, master).await,
        Role::Worker(worker) => follow(&scene, worker).await,
    }
}

async fn lead(scene: &str, master: Master) -> io::Result<()> {
    let mut events = master.events();
    let mut ready = Vec::new();
    while ready.len() < 3 {
        if let Some(Event::Ready { worker, slot, .. }) = events.recv().await {
            ready.push((slot, worker));
        }
    }
    ready.sort();
    broadcast(&Begin { workers: ready.into_iter().map(|(_, worker)| worker).collect() }).await?;
    let mut notes = subscribe::<Note>();
    if scene == "exit" {
        while !matches!(events.recv().await, Some(Event::Exited { .. })) {}
        let mail = subscribe::<Bulk>().try_recv().expect("it came before the exit")?;
        println!("at the exit: {} bytes", mail.body.2.len());
    }
    while let Some(note) = notes.recv().await {
        let note = note?.body.0;
        println!("the master got {note}");
        if note == "busy" {
            send(Address::Slot(0), &Note(monotonic_ms().to_string())).await?;
        }
    }
    Ok(())
}

async fn follow(scene: &str, worker: Worker) -> io::Result<()> {
    let slot = worker.slot();
    let mut begun = subscribe::<Begin>();
    cluster::set_ready();
    println!("slot {slot} runs");
    let begin = begun.recv().await.expect("a master")?.body;
    match (scene, slot) {
        ("tasks", 0) => ten_tasks().await,
        ("tasks", 1) => take_tasks().await?,
        ("heavy", 0) => heave().await?,
        ("heavy", 1) => take_heavy().await?,
        ("busy", 0) => busy().await?,
        ("exit", 0) => {
            send(Address::Master, &Bulk(7, 0, vec![7; 10_000_000])).await?;
            std::process::exit(3);
        }
        ("slow", 0) => hurry().await?,
        ("slow", 1) => dawdle().await?,
        ("ended", 0) => ended(begin.workers[1]).await?,
        ("service", 0) => service().await?,
        ("service", _) => {
            let mut notes = subscribe::<Note>();
            for _ in 0..2 {
                println!("slot {slot} got {}", notes.recv().await.expect("a cluster")?.body.0);
            }
        }
        ("foreign", 0) => {
            for number in 0..3 {
                send(Address::Slot(1), &News(number)).await?;
            }
        }
        ("foreign", 1) => {
            let mut news = subscribe::<OtherNews>();
            for _ in 0..3 {
                let error = news.recv().await.expect("a cluster").expect_err("another layout");
                println!("slot 1: foreign {}: {error}", error.is_foreign());
            }
        }
        _ => {}
    }
    cluster::draining().await;
    Ok(())
}

/// How long messages come faster than they are read.
const HURRY: Duration = Duration::from_secs(4);

/// The number after all others.
const LAST: u32 = u32::MAX;

/// Sends numbers as fast as they are taken.
async fn hurry() -> io::Result<()> {
    let begun = Instant::now();
    let mut number = 0;
    while begun.elapsed() < HURRY {
        send(Address::Slot(1), &News(number)).await?;
        number += 1;
    }
    Ok(send(Address::Slot(1), &News(LAST)).await?)
}

/// Takes its time for each of the first numbers, which are a small part of what waits.
async fn dawdle() -> io::Result<()> {
    let mut news = subscribe::<News>();
    let begun = Instant::now();
    let (mut expected, mut slow) = (0, 0);
    loop {
        let number = news.recv().await.expect("a cluster")?.body.0;
        if number == LAST {
            break;
        }
        assert_eq!(number, expected);
        expected += 1;
        if begun.elapsed() < HURRY {
            slow = expected;
            thread::sleep(Duration::from_micros(1500));
        }
    }
    println!("slot 1 has all, and took its time for a part: {}", slow * 10 < expected);
    Ok(())
}

async fn ten_tasks() {
    let tasks = (0..10).map(|task| {
        tokio::spawn(async move {
            for number in 0..20 {
                let bulk = Bulk(task, number, vec![task; 300_000 + usize::from(task)]);
                send(Address::Slot(1), &bulk).await.expect("room in the end");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
}

async fn take_tasks() -> io::Result<()> {
    let mut bulks = subscribe::<Bulk>();
    let mut next = [0; 10];
    for _ in 0..200 {
        let Bulk(task, number, bytes) = bulks.recv().await.expect("a cluster")?.body;
        let task = usize::from(task);
        assert_eq!(number, next[task], "of task {task}");
        assert_eq!(bytes.len(), 300_000 + task);
        assert!(bytes.iter().all(|&byte| usize::from(byte) == task), "of task {task}");
        next[task] += 1;
    }
    println!("slot 1 has all of {next:?}");
    Ok(())
}

/// Sends messages near the bound until the end.
async fn heave() -> io::Result<()> {
    for number in 0.. {
        let heavy = Heavy(number, "x".repeat(63 * 1024 * 1024));
        tokio::select! {
            sent = send(Address::Slot(1), &heavy) => sent?,
            () = cluster::draining() => break,
        }
    }
    Ok(())
}

async fn take_heavy() -> io::Result<()> {
    let mut heavy = subscribe::<Heavy>();
    loop {
        tokio::select! {
            mail = heavy.recv() => println!("slot 1 has number {}", mail.expect("a cluster")?.body.0),
            () = cluster::draining() => return Ok(()),
        }
    }
}

/// Every thread of the runtime is kept busy from the first byte of a connection until a message has come.
async fn busy() -> io::Result<()> {
    let heard = Arc::new(AtomicBool::new(false));
    let (mut notes, hears) = (subscribe::<Note>(), Arc::clone(&heard));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    thread::spawn(move || {
        let note = runtime.block_on(notes.recv()).expect("a cluster").expect("a note");
        let sent: f64 = note.body.0.parse().expect("the time of the master");
        let took = monotonic_ms() - sent;
        println!("slot 0 got a message while it was busy, after {took:.2} ms");
        hears.store(true, Ordering::Relaxed);
    });
    let listener = cluster::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening at {}", listener.local_addr()?);
    let (mut connection, _) = listener.accept().await?;
    connection.read_u8().await?;
    let work = || {
        let heard = Arc::clone(&heard);
        tokio::spawn(async move {
            while !heard.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
        })
    };
    let working: Vec<_> = (0..4).map(|_| work()).collect();
    send(Address::Master, &Note("busy".to_owned())).wait()?;
    while !heard.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(1));
    }
    for work in working {
        work.await?;
    }
    // What waited meanwhile.
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    Ok(())
}

/// Sends to a worker that the test kills, until that is an error.
async fn ended(other: WorkerId) -> io::Result<()> {
    println!("sending to worker {other}");
    loop {
        if let Err(error) = try_send(other, &Note("are you there".to_owned())) {
            println!("ended: unreachable {}: {error}", error.is_unreachable());
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let sent = send(Address::Slot(2), &Note("still there".to_owned())).await;
    println!("to another: {sent:?}");
    Ok(())
}

async fn service() -> io::Result<()> {
    broadcast_to("main", &Note("what is for all workers".to_owned())).await?;
    let unknown = broadcast_to("jobs", &Note(String::new())).await.expect_err("no such service");
    println!("unknown: unreachable {}: {unknown}", unknown.is_unreachable());
    for _ in 0..3 {
        send(Address::Service("main"), &Note("its turn".to_owned())).await?;
    }
    let own = subscribe::<Note>().recv().await.expect("a cluster")?;
    println!("slot 0 got {}", own.body.0);
    send(Address::Master, &Note("nothing of it".to_owned())).await?;
    Ok(())
}
