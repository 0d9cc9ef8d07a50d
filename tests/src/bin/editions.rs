//! A program that comes in two editions, whose `News` differ in a field of a nested type, and nothing else.
//!
//! Every process prints `WHO reads MESSAGE` or `WHO refuses: ERROR`. A worker sends news to the master when it
//! begins, and to everybody when it has refused some for the first time; the master to everybody after each reload.
//! Which edition a process is of is marked behind its code. The bytes of either make sense in the other.

use std::{fmt::Debug, io};

use cluster::{
    Address, ClusterMessage, Event, Mailbox, Master, Role, Worker, broadcast, send, subscribe,
};
use cluster_tests::deploy::marks;

macro_rules! editions {
    ($($edition:ident: $price:ty = $amount:literal;)+) => {$(
        mod $edition {
            use cluster::ClusterMessage;
            use serde::{Deserialize, Serialize};

            #[derive(Debug, Serialize, Deserialize, ClusterMessage)]
            pub(super) struct Article {
                price: $price,
            }

            #[derive(Debug, Serialize, Deserialize, ClusterMessage)]
            #[message(name = "shop.news")]
            pub(super) struct News {
                by: String,
                articles: Vec<Option<Article>>,
            }

            impl super::Edition for News {
                const EDITION: &'static str = stringify!($edition);

                fn by(by: String) -> Self {
                    Self { by, articles: vec![Some(Article { price: $amount }), None] }
                }
            }
        }
    )+};
}

editions! {
    one: u32 = 5;
    two: i32 = -3;
}

trait Edition: ClusterMessage + Debug {
    const EDITION: &'static str;

    fn by(by: String) -> Self;
}

#[cluster::main(workers = 2, respawn)]
async fn main(role: Role) -> io::Result<()> {
    match (marks().0.as_str(), role) {
        ("two", Role::Master(master)) => lead::<two::News>(master).await,
        (_, Role::Master(master)) => lead::<one::News>(master).await,
        ("two", Role::Worker(worker)) => follow::<two::News>(&worker).await,
        (_, Role::Worker(worker)) => follow::<one::News>(&worker).await,
    }
}

async fn lead<News: Edition>(master: Master) -> io::Result<()> {
    let me = format!("master of edition {}", News::EDITION);
    let mut events = master.events();
    let mut news: Mailbox<News> = subscribe();
    loop {
        tokio::select! {
            Some(event) = events.recv() => {
                if let Event::ReloadFinished { .. } = event {
                    broadcast(&News::by(me.clone())).await?;
                }
            }
            mail = news.recv() => drop(read(&me, mail.expect("a cluster"))),
        }
    }
}

async fn follow<News: Edition>(worker: &Worker) -> io::Result<()> {
    let (slot, generation) = (worker.slot(), worker.generation());
    let me = format!("slot {slot}, generation {generation} of edition {}", News::EDITION);
    let mut news: Mailbox<News> = subscribe();
    cluster::set_ready();
    send(Address::Master, &News::by(me.clone())).await?;
    let mut refused = false;
    loop {
        tokio::select! {
            () = cluster::draining() => return Ok(()),
            mail = news.recv() => {
                let read = read(&me, mail.expect("a cluster"));
                if !read && !std::mem::replace(&mut refused, true) {
                    broadcast(&News::by(me.clone())).await?;
                }
            }
        }
    }
}

/// Whether it could be read.
fn read<News: Debug>(who: &str, mail: Result<cluster::Mail<News>, cluster::Error>) -> bool {
    match mail {
        Ok(mail) => {
            println!("{who} reads {:?}", mail.body);
            true
        }
        Err(error) => {
            assert!(error.is_foreign(), "{error}");
            println!("{who} refuses: {error}");
            false
        }
    }
}
