//! Brings values to their new owners: each worker asks all others for what has become its own.
//!
//! After its start and after each change of the split, by id, so that a worker whose slot was scaled away or
//! which was replaced is asked too, while it drains. Who is asked and has not heard of the change says so.

use std::time::Duration;

use cluster::{Address, ClusterMessage, Error, Mail, ShardChanges, WorkerId};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time};

use crate::{
    PAUSE,
    registry::{End, HowEnded, Others, Who},
    store::{Pairs, Store},
};

/// How long a worker that drains waits for others to take what it holds.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// After what should not happen, such as the answer of a program with other messages during a reload.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What do you hold that is mine? All up to the key `taken` I have.
#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = Batch)]
struct Fetch {
    slot: usize,
    version: u64,
    taken: Option<String>,
}

#[derive(Serialize, Deserialize, ClusterMessage)]
enum Batch {
    /// Ask again: one of us does not know of the newest split, or I still speak for this slot myself.
    Later,
    /// Nothing, when there is no more; and whether keys were lost before they came here.
    Values { pairs: Pairs, lost: bool },
}

/// Gives others what is theirs.
pub(crate) async fn give(store: watch::Sender<Store>) {
    let mut asked = cluster::subscribe::<Fetch>();
    let worker = cluster::worker();
    while let Some(mail) = asked.recv().await {
        let Ok(Mail { body: Fetch { slot, version, taken }, reply, .. }) = mail else { continue };
        let mut batch = Batch::Later;
        store.send_modify(|store| {
            let shard = store.shard();
            let known = shard.version == version;
            // The next worker of this slot: it is to speak as soon as this one drains and has all.
            let next = slot == shard.index;
            if !known || next && !(worker.is_draining() && store.resign()) {
                return;
            }
            let pairs = store.give(slot, taken.as_deref());
            batch = Batch::Values { pairs, lost: store.may_have_lost() };
        });
        let _ = reply.send(&batch).await;
    }
}

/// Sees to it that everything of this worker's share is here, whatever that is.
pub(crate) async fn gather(store: watch::Sender<Store>, mut changes: ShardChanges) {
    loop {
        let complete = store.borrow().is_complete();
        tokio::select! {
            // First, and what was begun for the split before is dropped: nothing is taken for another split
            // than the one it was asked for.
            biased;
            shard = changes.next() => store.send_modify(|store| store.reshard(shard)),
            result = fetch_all(&store), if !complete => match result {
                Ok(()) => store.send_modify(Store::complete),
                Err(error) => {
                    eprintln!("shard: {error}");
                    time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }
}

async fn fetch_all(store: &watch::Sender<Store>) -> Result<(), Error> {
    if store.borrow().has_resigned() {
        return Ok(());
    }
    let who = who().await?;
    if who.lost {
        store.send_modify(Store::note_loss);
    }
    // Who sat here before comes first: it may still speak, and then needs what others hold.
    for worker in who.others {
        while let Err(error) = fetch(store, worker).await {
            if !error.is_unreachable() {
                return Err(error);
            }
            match cluster::request(Address::Master, &HowEnded { worker }).await? {
                // A moment before the master tells of its end.
                End::Unknown => time::sleep(PAUSE).await,
                End::Orderly => break,
                End::Crashed => {
                    store.send_modify(Store::note_loss);
                    break;
                }
            }
        }
    }
    Ok(())
}

async fn who() -> Result<Others, Error> {
    let slot = cluster::worker().slot();
    match cluster::request(Address::Master, &Who { slot }).await {
        // With `workers = 0` there is nobody.
        Err(error) if error.is_unreachable() => Ok(Others::default()),
        result => result,
    }
}

/// Takes all that this worker holds for us.
async fn fetch(store: &watch::Sender<Store>, from: WorkerId) -> Result<(), Error> {
    let shard = store.borrow().shard();
    let mut taken = None;
    loop {
        let fetch = Fetch { slot: shard.index, version: shard.version, taken: taken.clone() };
        match cluster::request(from, &fetch).await? {
            Batch::Later => time::sleep(PAUSE).await,
            Batch::Values { pairs, lost } => {
                if lost {
                    store.send_modify(Store::note_loss);
                }
                let Some((last, _)) = pairs.last() else { return Ok(()) };
                taken = Some(last.clone());
                store.send_modify(|store| store.take(pairs));
            }
        }
    }
}

/// The end of a worker that drains: waits until others have taken what it holds, while there are others.
pub(crate) async fn hand_over(store: &watch::Sender<Store>) -> std::io::Result<()> {
    let until = time::Instant::now() + HAND_OVER_TIMEOUT;
    let mut given = std::pin::pin!(resign_and_be_emptied(store));
    // Otherwise the cluster stops.
    while who().await?.serving {
        if time::timeout(LOOK_INTERVAL, &mut given).await.is_ok() {
            return Ok(());
        }
        if time::Instant::now() >= until {
            // An end that is not in order, so that others know of it.
            return Err(std::io::Error::other("nobody has taken what was kept here: it is lost"));
        }
    }
    Ok(())
}

async fn resign_and_be_emptied(store: &watch::Sender<Store>) {
    let mut changed = store.subscribe();
    let mut resigned = false;
    // Fails never: the sender is borrowed.
    while !resigned && changed.wait_for(Store::is_complete).await.is_ok() {
        store.send_modify(|store| resigned = store.resign());
    }
    let _ = changed.wait_for(Store::is_empty).await;
}
