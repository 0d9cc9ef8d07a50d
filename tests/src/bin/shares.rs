//! Two services, whose keys are each split over their own workers, and a steered master.
//!
//! The master prints `orders to ADDRESS` and every event as `event TEXT`. A connection to it brings one order in a
//! line and gets what came of it:
//!
//! * `scale NAME N`;
//! * `shares NAME`: of each of the workers of that service `SLOT INDEX/COUNT CHANGES KEYS`, by `;`, where CHANGES is how
//!   often it was told of a change and KEYS are those of 0 up to 100 that it owns, by `,`;
//! * `ask FROM TO KEY`: the slot of the worker of TO that a worker of FROM has asked for the key, if it owns it;
//! * `address KEY`: where the master would ask.

use std::sync::atomic::{AtomicUsize, Ordering};

use cluster::{Address, ClusterMessage, Error, HashSplitter, Master, Splitter};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// What a worker is asked.
#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = String)]
enum Ask {
    Share,
    /// Ask who owns the key in another service.
    Pass {
        service: String,
        key: u32,
    },
    Owned(u32),
}

static CHANGES: AtomicUsize = AtomicUsize::new(0);

#[cluster::main(respawn, services(web = 2, jobs = 2))]
async fn main(master: Master) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("orders to {}", listener.local_addr()?);
    let mut events = master.events();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            println!("event {event}");
        }
    });
    loop {
        let (stream, _) = listener.accept().await?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match carry_out(&master, &words).await {
            Ok(done) => format!("ok {done}"),
            Err(error) => format!("error {error}"),
        };
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
}

async fn carry_out(master: &Master, words: &[&str]) -> Result<String, Error> {
    let number = |at: usize| words[at].parse::<u32>().expect("a number");
    match words[0] {
        "scale" => {
            let done = master.scale_service(words[1], number(2) as usize).await?;
            Ok(format!("{done:?}"))
        }
        "shares" => {
            let mut shares = Vec::new();
            for worker in master.workers().iter().filter(|w| w.service == Some(words[1])) {
                shares.push(master.request(worker.worker, &Ask::Share).await?);
            }
            shares.sort();
            Ok(shares.join(";"))
        }
        "ask" => {
            let from = Address::Service(name(words[1]));
            let (service, key) = (words[2].to_owned(), number(3));
            master.request(from, &Ask::Pass { service, key }).await
        }
        "address" => Ok(HashSplitter.address(&number(1)).to_string()),
        other => panic!("no order: {other:?}"),
    }
}

/// A name that is made at run time.
fn name(name: &str) -> &'static str {
    name.to_owned().leak()
}

async fn web() {
    work().await;
}

async fn jobs() {
    work().await;
}

async fn work() {
    let mut asked = cluster::subscribe::<Ask>();
    let mut changes = cluster::worker().shard_changes();
    tokio::spawn(async move {
        while let Some(Ok(mail)) = asked.recv().await {
            let answer = answer(mail.body).await;
            mail.reply.send(&answer).await.expect("a master");
        }
    });
    cluster::set_ready();
    let counting = async {
        loop {
            changes.next().await;
            CHANGES.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = counting => {}
        () = cluster::draining() => {}
    }
}

async fn answer(asked: Ask) -> String {
    let (slot, shard) = (cluster::worker().slot(), cluster::worker().shard());
    match asked {
        Ask::Share => {
            let own = (0..100_u32).filter(|key| shard.owns(key)).map(|key| key.to_string());
            let own: Vec<String> = own.collect();
            let changes = CHANGES.load(Ordering::Relaxed);
            format!("{slot} {}/{} {changes} {}", shard.index, shard.count, own.join(","))
        }
        Ask::Pass { service, key } => {
            let answer = cluster::request_shard_in(name(&service), &key, &Ask::Owned(key)).await;
            answer.unwrap_or_else(|error| error.to_string())
        }
        Ask::Owned(key) if shard.owns(&key) => slot.to_string(),
        Ask::Owned(key) => format!("{key} is not of slot {slot}"),
    }
}
