//! The master's branch: tells workers who else lives, and how those ended that do not.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{Address, ClusterMessage, Event, Master, WorkerId, WorkerState};
use serde::{Deserialize, Serialize};

/// Ends that are remembered; whoever asks for one does so at once.
const ENDS_MAX: usize = 1024;

/// Who lives, but the worker that asks?
#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = Others)]
pub(crate) struct Who {
    pub(crate) slot: usize,
}

#[derive(Default, Serialize, Deserialize, ClusterMessage)]
pub(crate) struct Others {
    /// First those that sat in its slot before; not those that are to sit there after it.
    pub(crate) others: Vec<WorkerId>,
    /// Whether one of them does not drain.
    pub(crate) serving: bool,
    /// Whether a worker of the slot has crashed before.
    pub(crate) lost: bool,
}

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = End)]
pub(crate) struct HowEnded {
    pub(crate) worker: WorkerId,
}

#[derive(Clone, Copy, Serialize, Deserialize, ClusterMessage)]
pub(crate) enum End {
    /// It lives, or its end is not known yet.
    Unknown,
    /// What it kept was taken from it.
    Orderly,
    /// What it kept is lost.
    Crashed,
}

pub(crate) async fn keep(master: Master) -> std::io::Result<()> {
    let mut events = master.events();
    let (mut who, mut ended) = (master.subscribe::<Who>(), master.subscribe::<HowEnded>());
    let (mut ends, mut crashed) = (BTreeMap::<WorkerId, End>::new(), BTreeSet::<usize>::new());
    loop {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                None => return Ok(()),
                Some(Event::Exited { worker, slot, status, .. }) => {
                    let orderly = status.success();
                    if !orderly {
                        crashed.insert(slot);
                    }
                    ends.insert(worker, if orderly { End::Orderly } else { End::Crashed });
                    if ends.len() > ENDS_MAX {
                        ends.pop_first();
                    }
                }
                Some(_) => {}
            },
            Some(Ok(mail)) = who.recv() => {
                let Address::Worker(me) = mail.from else { continue };
                let mut others = others(&master, me, mail.body.slot);
                others.lost = crashed.contains(&mail.body.slot);
                let _ = mail.reply.send(&others).await;
            }
            Some(Ok(mail)) = ended.recv() => {
                let end = ends.get(&mail.body.worker).copied().unwrap_or(End::Unknown);
                let _ = mail.reply.send(&end).await;
            }
        }
    }
}

fn others(master: &Master, me: WorkerId, slot: usize) -> Others {
    let mut others = master.workers();
    others.retain(|status| status.worker != me);
    let serving = others.iter().any(|status| status.state != WorkerState::Draining);
    others.retain(|status| status.slot != slot || status.worker < me);
    others.sort_by_key(|status| status.slot != slot);
    let others = others.into_iter().map(|status| status.worker).collect();
    Others { others, serving, lost: false }
}
