//! The peer that is a cluster: `broadcast`, `request` and `process::fork`, as a user would write them.

use std::{
    io,
    time::{Duration, Instant},
};

use cluster::{Address, ClusterMessage, Event, Mailbox, Master, process};
use cluster_benches::{Row, Scene, next_count, say_elapsed, say_ready};
use serde::{Deserialize, Serialize};

/// From the master: so many messages follow, or are to be sent.
#[derive(Serialize, Deserialize, ClusterMessage)]
struct Begin(u64);

/// From the master to every worker.
#[derive(Serialize, Deserialize, ClusterMessage)]
struct News {
    number: u64,
    text: String,
}

/// From a worker, which gets the text back.
#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = String)]
struct Echo(String);

/// From a forked function, which then ends.
#[derive(Serialize, Deserialize, ClusterMessage)]
struct Word;

/// From a worker: all came, or all was answered; and how long that took, seen from there.
#[derive(Serialize, Deserialize, ClusterMessage)]
struct Done(Duration);

// Wrong arguments are for `main` to report.
#[cluster::main(workers = Row::from_args().map_or(1, |row| row.workers), master = lead)]
async fn main() -> io::Result<()> {
    let row = Row::from_args()?;
    let mut begins = cluster::subscribe::<Begin>();
    let mut news = cluster::subscribe::<News>();
    cluster::set_ready();
    while let Some(begin) = begins.recv().await {
        let count = begin?.body.0;
        let elapsed = match row.scene {
            Scene::Broadcast => take_all(&mut news, count).await?,
            Scene::RoundTrip => ask_all(&row, count).await?,
            Scene::Fork => fork_all(count).await?,
        };
        cluster::send(Address::Master, &Done(elapsed)).await?;
    }
    Ok(())
}

async fn take_all(news: &mut Mailbox<News>, count: u64) -> io::Result<Duration> {
    let begun = Instant::now();
    for number in 0..count {
        let mail = news.recv().await.ok_or(io::ErrorKind::UnexpectedEof)??;
        assert_eq!(mail.body.number, number, "nothing is missed");
    }
    Ok(begun.elapsed())
}

async fn ask_all(row: &Row, count: u64) -> io::Result<Duration> {
    let begun = Instant::now();
    let echo = Echo("x".repeat(row.bytes));
    for _ in 0..count {
        let text = cluster::request(Address::Master, &echo).await?;
        assert_eq!(text.len(), row.bytes);
    }
    Ok(begun.elapsed())
}

#[cluster::child]
async fn say_word(parent: process::Parent<Word, Word>) -> io::Result<()> {
    Ok(parent.send(&Word).await?)
}

async fn fork_all(count: u64) -> io::Result<Duration> {
    let mut elapsed = Duration::ZERO;
    for _ in 0..count {
        let begun = Instant::now();
        let mut child = process::fork(say_word).await?;
        let Word = child.recv().await.ok_or(io::ErrorKind::UnexpectedEof)??;
        elapsed += begun.elapsed();
        child.wait().await?;
    }
    Ok(elapsed)
}

async fn lead(master: Master) -> io::Result<()> {
    let row = Row::from_args()?;
    let mut events = master.events();
    for _ in 0..row.workers {
        while !matches!(events.recv().await, Some(Event::Ready { .. })) {}
    }
    let mut echoes = cluster::subscribe::<Echo>();
    let mut done = cluster::subscribe::<Done>();
    say_ready()?;
    // Nothing is under way while this waits for the next line.
    while let Some(count) = next_count()? {
        let begun = Instant::now();
        cluster::broadcast(&Begin(count)).await?;
        match row.scene {
            Scene::Broadcast => tell_all(&row, count).await?,
            Scene::RoundTrip => answer_all(&mut echoes, count).await?,
            Scene::Fork => {}
        }
        let mut seen_by_worker = Duration::ZERO;
        for _ in 0..row.workers {
            seen_by_worker = done.recv().await.ok_or(io::ErrorKind::UnexpectedEof)??.body.0;
        }
        say_elapsed(match row.scene {
            Scene::Broadcast => begun.elapsed(),
            Scene::RoundTrip | Scene::Fork => seen_by_worker,
        })?;
    }
    master.stop().await;
    Ok(())
}

async fn tell_all(row: &Row, count: u64) -> io::Result<()> {
    let mut news = News { number: 0, text: "x".repeat(row.bytes) };
    for number in 0..count {
        news.number = number;
        cluster::broadcast(&news).await?;
    }
    Ok(())
}

async fn answer_all(echoes: &mut Mailbox<Echo>, count: u64) -> io::Result<()> {
    for _ in 0..count {
        let mail = echoes.recv().await.ok_or(io::ErrorKind::UnexpectedEof)??;
        mail.reply.send(&mail.body.0).await?;
    }
    Ok(())
}
