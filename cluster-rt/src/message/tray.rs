//! What waits for one mailbox.
//!
//! Plain data, guarded by the inbox's lock. Bounded: while it is full, whoever feeds it waits, as
//! `mail::patience` allows; then it alone misses what comes, and says how many. A mailbox from which anything
//! at all is read, be it of a batch that it took long ago, is waited for.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::Instant,
};

use super::{letter::Entry, pack::Pack};
use crate::mail::{
    WAITING_BYTES_MAX,
    patience::{Patience, Verdict},
    run::Run,
};

/// What a mailbox takes at once, so that it and the thread that feeds it meet less often: little enough to
/// be nothing beside its bound.
const BATCH_ENTRIES_MAX: usize = 64;
const BATCH_COST_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Tray {
    /// Tells those of one inbox apart.
    pub(super) number: u64,
    entries: VecDeque<Entry>,
    cost: usize,
    /// Changed by the mailbox with every message that it returns; and what it was when last looked at.
    reads: Arc<AtomicU64>,
    reads_seen: u64,
    patience: Patience,
    /// Dropped since it began to lag.
    dropped: u64,
    /// Of the task that waits for an entry.
    pub(super) waker: Option<Waker>,
}

impl Tray {
    pub(super) fn new(number: u64, reads: Arc<AtomicU64>) -> Self {
        Self {
            number,
            entries: VecDeque::new(),
            cost: 0,
            reads,
            reads_seen: 0,
            patience: Patience::default(),
            dropped: 0,
            waker: None,
        }
    }

    /// Puts an entry in; returns who is to be woken for it.
    pub(super) fn add(&mut self, entry: Entry) -> Option<Waker> {
        self.cost += entry.cost();
        self.entries.push_back(entry);
        self.waker.take()
    }

    /// Puts several messages in; returns who is to be woken for them.
    pub(super) fn add_run(&mut self, run: &Run<'_>) -> Option<Waker> {
        if self.join(run) { None } else { self.add(Entry::Pack(Pack::of(run))) }
    }

    /// Puts messages to those that wait last, if they are like them; whether they were. Nobody is to be woken:
    /// who waits has taken all there was.
    pub(super) fn join(&mut self, run: &Run<'_>) -> bool {
        let Some(Entry::Pack(pack)) = self.entries.back_mut() else { return false };
        let before = pack.cost();
        let joined = pack.join(run);
        self.cost += pack.cost() - before;
        joined
    }

    /// What to do with something for the mailbox; notes in `progress` if it is full and read from.
    pub(super) fn judge(&mut self, now: Instant, progress: &mut bool) -> Verdict {
        let has_room = self.cost < WAITING_BYTES_MAX;
        if !has_room {
            let reads = self.reads.load(Ordering::Relaxed);
            if std::mem::replace(&mut self.reads_seen, reads) != reads {
                self.patience.progressed(now);
                *progress = true;
            }
        }
        self.patience.judge(has_room, now)
    }

    /// Whether it misses what comes, since the last judgement.
    pub(super) fn is_lagging(&self) -> bool {
        self.patience.is_lagging()
    }

    pub(super) fn count_dropped(&mut self, count: usize) {
        self.dropped += count as u64;
    }

    /// Moves what a mailbox may have beside its tray into `batch`; returns whether somebody waits for the
    /// room that this makes. With `batch` empty afterwards, there was nothing.
    pub(super) fn move_into(&mut self, batch: &mut VecDeque<Entry>) -> bool {
        let mut cost = 0;
        while batch.len() < BATCH_ENTRIES_MAX && cost < BATCH_COST_MAX {
            let Some(entry) = self.next() else { break };
            cost += entry.cost();
            batch.push_back(entry);
        }
        self.cost = self.cost.saturating_sub(cost);
        !batch.is_empty() && self.patience.progressed(Instant::now())
    }

    fn next(&mut self) -> Option<Entry> {
        if let Some(entry) = self.entries.pop_front() {
            return Some(entry);
        }
        if self.patience.caught_up() && self.dropped > 0 {
            return Some(Entry::Missed(std::mem::take(&mut self.dropped)));
        }
        None
    }
}
