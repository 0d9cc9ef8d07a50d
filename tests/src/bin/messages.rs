//! Workers and master that send each other messages; the first argument says which.
//!
//! What is received and what fails is printed; `numbered` takes how many each sends. The master begins when every
//! worker is ready.

use std::{io, time::Duration};

use cluster::{
    Address, ClusterMessage, Error, Event, Mailbox, Master, Role, Worker, WorkerId, broadcast,
    request, send, subscribe, try_send,
};
use serde::{
    Deserialize, Serialize,
    de::value::{Error as ValueError, SeqDeserializer},
};

/// From the master: everybody is there.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
struct Begin {
    workers: Vec<WorkerId>,
}

#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
struct Numbered(u64);

#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
struct Bulk(Vec<u8>);

/// Is answered with twice the number; 0 is dropped, 1 is never answered.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
#[message(reply = u64)]
struct Double(u64);

/// Is held until nobody waits for the answer.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
#[message(reply = ())]
struct Hold(String);

/// Is answered with the slot.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
#[message(reply = usize)]
struct Where;

#[cluster::main(workers = 2)]
async fn main(role: Role) -> io::Result<()> {
    let scene = std::env::args().nth(1).expect("a scene");
    match role {
        Role::Master(master) => lead(&scene, master).await,
        Role::Worker(worker) => follow(&scene, worker).await,
    }
}

/// Waits until `count` workers are ready, and returns them in the order of their slots.
async fn all_ready(master: &Master, count: usize) -> Vec<WorkerId> {
    let mut events = master.events();
    let mut ready = Vec::new();
    while ready.len() < count {
        if let Some(Event::Ready { worker, slot, .. }) = events.recv().await {
            ready.push((slot, worker));
        }
    }
    ready.sort();
    ready.into_iter().map(|(_, worker)| worker).collect()
}

async fn lead(scene: &str, master: Master) -> io::Result<()> {
    let count = std::env::var("CLUSTER_WORKERS").map_or(2, |n| n.parse().expect("a number"));
    if scene == "numbered" {
        let ready = all_ready(&master, count).await;
        // Subscribed late: what came was kept.
        begin(&ready).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        count_numbered("master", count as u64).await;
        return Ok(());
    }
    let doubling = tokio::spawn(double());
    tokio::spawn(hold("the master".to_owned()));
    let ready = all_ready(&master, count).await;
    begin(&ready).await?;
    match scene {
        "ask" => {
            println!("master asks slot: {}", request(Address::Slot(0), &Double(4)).await?);
            println!("master asks worker: {}", request(ready[1], &Double(5)).await?);
        }
        "busy" => {
            // The first to be asked never answers, and is at it still when nobody waits any more.
            let short = request(MAIN, &Double(1)).timeout(Duration::from_millis(50));
            tell("late", short.await);
            println!("with one busy: {} of 2 answer", count_answering().await?);
            let held = request(MAIN, &Double(1)).timeout(HOURS);
            println!("with both busy: {} of 2 answer", count_answering().await?);
            drop(held);
        }
        "unknown" => {
            let nobody = nobody();
            tell("send", send(nobody, &Numbered(1)).await);
            tell("try_send", try_send(nobody, &Numbered(1)));
            tell("slot", send(Address::Slot(9), &Numbered(1)).await);
            tell("service", send(Address::Service("jobs"), &Numbered(1)).await);
            tell("request", request(nobody, &Double(1)).await);
        }
        "last_words" => {
            let mut events = master.events();
            while !matches!(events.recv().await, Some(Event::Exited { .. })) {}
            let mail = subscribe::<Bulk>().try_recv().expect("it came before the exit");
            println!("at the exit: {} bytes", mail?.body.0.len());
        }
        _ => {}
    }
    doubling.await?
}

const MAIN: Address = Address::Service("main");

/// Asks the service again and again; how many different workers have answered.
async fn count_answering() -> Result<usize, Error> {
    let mut slots = std::collections::BTreeSet::new();
    for _ in 0..10 {
        slots.insert(request(MAIN, &Where).await?);
    }
    Ok(slots.len())
}

/// A worker that there never was.
fn nobody() -> WorkerId {
    let number = SeqDeserializer::<_, ValueError>::new([77_u64].into_iter());
    WorkerId::deserialize(number).expect("a number")
}

async fn begin(ready: &[WorkerId]) -> Result<(), Error> {
    broadcast(&Begin { workers: ready.to_vec() }).await
}

async fn follow(scene: &str, worker: Worker) -> io::Result<()> {
    let slot = worker.slot();
    if scene == "alone" {
        return alone().await;
    }
    let mut begun = subscribe::<Begin>();
    cluster::set_ready();
    let begin = begun.recv().await.expect("a master")?.body;
    if scene == "numbered" {
        for number in 0..numbers() {
            broadcast(&Numbered(number)).await?;
        }
        count_numbered(&format!("slot {slot}"), begin.workers.len() as u64).await;
        cluster::draining().await;
        return Ok(());
    }
    let doubling = tokio::spawn(double());
    tokio::spawn(hold(format!("slot {slot}")));
    tokio::spawn(async move {
        let mut asked = subscribe::<Where>();
        while let Some(mail) = asked.recv().await {
            mail?.reply.send(&slot).await?;
        }
        Ok::<_, Error>(())
    });
    match (scene, slot) {
        ("ask", 0) => {
            println!("worker asks master: {}", request(Address::Master, &Double(1000)).await?);
            println!("worker asks slot: {}", request(Address::Slot(1), &Double(2000)).await?);
            let other = begin.workers[1];
            println!("worker asks worker: {}", request(other, &Double(3000)).await?);
            let waited = request(other, &Double(4000)).wait();
            println!("worker waits for worker: {}", waited?);
        }
        ("fail", 0) => {
            tell("dropped", request(Address::Slot(1), &Double(0)).await);
            let short = request(Address::Slot(1), &Double(1)).timeout(Duration::from_millis(50));
            tell("late", short.await);
            tell("nobody", request(nobody(), &Double(2)).await);
            println!("asking");
            tell("killed", request(Address::Slot(1), &Double(1)).timeout(HOURS).await);
        }
        ("given_up", 0) => {
            for to in [Address::Slot(1), Address::Master] {
                let late = request(to, &Hold("late".to_owned())).timeout(SOON);
                tell("late", late.await);
                let dropped = request(to, &Hold("dropped".to_owned())).timeout(HOURS);
                assert!(tokio::time::timeout(SOON, dropped).await.is_err(), "it is held");
            }
            let held = [Address::Slot(1), Address::Master]
                .map(|to| request(to, &Hold("killed".to_owned())).timeout(HOURS));
            for held in held {
                tell("killed", held.await);
            }
        }
        ("too_large", 0) => {
            let most = 64 * 1024 * 1024;
            tell("too large", send(Address::Master, &Bulk(vec![0; most])).await);
            tell("too large for all", broadcast(&Bulk(vec![0; most])).await);
            println!("then: {}", request(Address::Master, &Double(21)).await?);
        }
        ("last_words", 0) => {
            send(Address::Master, &Bulk(vec![7; 10_000_000])).await?;
            return Ok(());
        }
        _ => {}
    }
    let end: io::Result<()> = doubling.await?;
    end
}

/// Without a master: nobody else is there, but the worker itself.
async fn alone() -> io::Result<()> {
    tell("to the master", send(Address::Master, &Numbered(1)).await);
    tell("to another slot", send(Address::Slot(1), &Numbered(1)).await);
    tell("to everybody", broadcast(&Numbered(2)).await);
    send(Address::Slot(0), &Numbered(3)).await?;
    let mail = subscribe::<Numbered>().recv().await.expect("its own")?;
    println!("to itself: {} from {}", mail.body.0, mail.from);
    let doubling = tokio::spawn(double());
    let own = cluster::worker().id();
    println!("asks itself: {}", request(own, &Double(8)).await?);
    tell("drops it", request(own, &Double(0)).await);
    let short = request(own, &Double(1)).timeout(Duration::from_millis(50));
    tell("late", short.await);
    let (held, mut asked) = (request(own, &Hold(String::new())), subscribe::<Hold>());
    let mail = asked.recv().await.expect("its own")?;
    drop(held);
    mail.reply.abandoned().await;
    println!("it is told: awaited {}", mail.reply.is_awaited());
    doubling.abort();
    Ok(())
}

const SOON: Duration = Duration::from_millis(50);

const HOURS: Duration = Duration::from_secs(7200);

/// How many each sends.
fn numbers() -> u64 {
    std::env::args().nth(2).map_or(1000, |n| n.parse().expect("a number"))
}

/// Reads what the others have sent, and checks that each one's are in order.
async fn count_numbered(who: &str, processes: u64) {
    let senders = if who == "master" { processes } else { processes - 1 };
    let mut numbered = subscribe::<Numbered>();
    let mut next = std::collections::BTreeMap::new();
    for _ in 0..senders * numbers() {
        let mail = numbered.recv().await.expect("a cluster").expect("nothing is missed");
        let Address::Worker(from) = mail.from else { panic!("from {}", mail.from) };
        let expected = next.entry(from).or_insert(0);
        assert_eq!(mail.body.0, *expected, "from {from}");
        *expected += 1;
    }
    println!("{who} has all of {} senders in order", next.len());
}

async fn double() -> io::Result<()> {
    let mut asked: Mailbox<Double> = subscribe();
    let mut kept = Vec::new();
    while let Some(mail) = asked.recv().await {
        let mail = mail?;
        match mail.body.0 {
            0 => drop(mail.reply),
            1 => kept.push(mail.reply),
            n => mail.reply.send(&(2 * n)).await?,
        }
    }
    Ok(())
}

/// Holds requests, one after the other, until it is told that nobody waits.
async fn hold(who: String) -> Result<(), Error> {
    let mut asked = subscribe::<Hold>();
    while let Some(mail) = asked.recv().await {
        let mail = mail?;
        let Hold(what) = mail.body;
        println!("{who} holds {what}");
        mail.reply.abandoned().await;
        println!("{who} is told of {what}: awaited {}", mail.reply.is_awaited());
        mail.reply.send(&()).await?;
    }
    Ok(())
}

/// Prints what came of it, and what kind of error it is.
fn tell<T: std::fmt::Debug>(what: &str, result: Result<T, Error>) {
    match result {
        Ok(value) => println!("{what}: Ok({value:?})"),
        Err(error) => println!(
            "{what}: {error} [unreachable {}, unanswered {}, timeout {}, too large {}]",
            error.is_unreachable(),
            error.is_unanswered(),
            error.is_timeout(),
            error.is_too_large()
        ),
    }
}
