//! Slot 0 broadcasts a storm once the master says so, as many messages of 64 KiB as the argument says;
//! the others and the master count what comes and what they missed.
//!
//! Each says `... has COUNT, missed COUNT` when the sum is all.

use std::{io, time::Duration};

use cluster::{Address, ClusterMessage, Event, Master, Role, Worker, broadcast, subscribe};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, ClusterMessage)]
struct Begin;

/// A text, since that is encoded as a whole and not byte by byte.
#[derive(Serialize, Deserialize, ClusterMessage)]
struct Gust(u64, String);

fn text() -> String {
    "x".repeat(65_536)
}

#[cluster::main(workers = 4)]
async fn main(role: Role) -> io::Result<()> {
    let count = std::env::args().nth(1).expect("a number").parse().expect("a number");
    match role {
        Role::Master(master) => lead(master, count).await,
        Role::Worker(worker) => follow(worker, count).await,
    }
}

async fn lead(master: Master, count: u64) -> io::Result<()> {
    let mut events = master.events();
    for _ in 0..4 {
        while !matches!(events.recv().await, Some(Event::Ready { .. })) {}
    }
    println!("all are ready");
    // The test stops one of them now, and says so.
    let mut hup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined1())?;
    println!("waiting for USR1");
    hup.recv().await;
    cluster::send(Address::Slot(0), &Begin).await?;
    endure("the master", count).await
}

async fn follow(worker: Worker, count: u64) -> io::Result<()> {
    let slot = worker.slot();
    cluster::set_ready();
    if slot == 0 {
        subscribe::<Begin>().recv().await.expect("a master")?;
        for number in 0..count {
            broadcast(&Gust(number, text())).await?;
        }
        println!("all is sent");
    } else {
        endure(&format!("slot {slot}"), count).await?;
    }
    cluster::draining().await;
    Ok(())
}

async fn endure(who: &str, count: u64) -> io::Result<()> {
    let (mut came, mut missed, mut next, text) = (0, 0, 0, text());
    let mut gusts = subscribe::<Gust>();
    while came + missed < count {
        match gusts.recv().await.expect("a cluster") {
            Ok(mail) => {
                assert_eq!(mail.body.0, next, "{who} has {came}, missed {missed}");
                assert!(mail.body.1 == text, "{who}: number {next} is damaged");
                came += 1;
                next += 1;
            }
            Err(error) => {
                let count = error.is_lagged().ok_or(error)?;
                missed += count;
                next += count;
            }
        }
    }
    println!("{who} has {came}, missed {missed}");
    // Nothing more may come.
    let more = tokio::time::timeout(Duration::from_millis(20), gusts.recv()).await;
    assert!(more.is_err(), "{who} was told of more than there was");
    Ok(())
}
