//! Messages: the master greets each worker, workers broadcast, one asks another. Runs to its end by itself.
//!
//! ```text
//! cargo run --release --example messages
//! ```

use cluster::{Address, ClusterMessage, Event, Master, Role, Worker};
use serde::{Deserialize, Serialize};

/// From the master to each worker.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
struct Greeting {
    text: String,
}

/// From each worker to everybody.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
enum News {
    Arrived { slot: usize },
}

/// A question, and the type of its answer.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
#[message(reply = u64)]
struct SquareOf(u64);

const WORKERS: usize = 3;

#[cluster::main(workers = WORKERS)]
async fn main(role: Role) -> std::io::Result<()> {
    match role {
        Role::Master(master) => greet(master).await,
        Role::Worker(worker) => work(worker).await,
    }
    .inspect_err(|error| eprintln!("messages: {error}"))
}

async fn greet(master: Master) -> std::io::Result<()> {
    let mut events = master.events();
    let mut ready = 0;
    while ready < WORKERS {
        if let Some(Event::Ready { worker, slot, .. }) = events.recv().await {
            ready += 1;
            // Kept until the worker subscribes.
            master.send(worker, &Greeting { text: format!("hello, slot {slot}") }).await?;
        }
    }
    let mut news = master.subscribe::<News>();
    for _ in 0..WORKERS {
        if let Some(mail) = news.recv().await {
            let mail = mail?;
            println!("master: {:?} from {}", mail.body, mail.from);
        }
    }
    // Everybody has heard of everybody: the end.
    let mut done = master.subscribe::<Done>();
    for _ in 0..WORKERS {
        done.recv().await;
    }
    master.stop().await;
    Ok(())
}

/// From each worker to the master, at its end.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
struct Done;

async fn work(worker: Worker) -> std::io::Result<()> {
    let slot = worker.slot();
    // Questions are answered beside everything else, until the worker ends.
    tokio::spawn(answer());
    cluster::set_ready();

    let mut greetings = cluster::subscribe::<Greeting>();
    if let Some(mail) = greetings.recv().await {
        println!("slot {slot}: {:?}", mail?.body.text);
    }

    let mut news = cluster::subscribe::<News>();
    cluster::broadcast(&News::Arrived { slot }).await?;
    for _ in 1..WORKERS {
        if let Some(mail) = news.recv().await {
            let mail = mail?;
            println!("slot {slot}: {:?} from {}", mail.body, mail.from);
        }
    }

    if slot == 0 {
        let square = cluster::request(Address::Slot(1), &SquareOf(12)).await?;
        println!("slot 0: slot 1 says that 12 squared is {square}");
    }
    cluster::send(Address::Master, &Done).await?;
    cluster::draining().await;
    Ok(())
}

async fn answer() -> Result<(), cluster::Error> {
    let mut asked = cluster::subscribe::<SquareOf>();
    while let Some(mail) = asked.recv().await {
        let mail = mail?;
        let SquareOf(number) = mail.body;
        mail.reply.send(&(number * number)).await?;
    }
    Ok(())
}
