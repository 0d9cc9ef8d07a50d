//! What waits for one mailbox.
//!
//! Plain data, guarded by the inbox's lock. Bounded: while it is full, whoever feeds it waits, as
//! `mail::patience` allows; then it alone misses what comes, and says how many.

use std::{collections::VecDeque, task::Waker, time::Instant};

use super::letter::Entry;
use crate::mail::{
    WAITING_BYTES_MAX,
    patience::{Patience, Verdict},
    run::Run,
};

/// What a mailbox takes at once, so that it and the thread that feeds it meet less often: few enough to
/// be nothing beside its bound.
const BATCH_ENTRIES_MAX: usize = 64;
const BATCH_BYTES_MAX: usize = 64 * 1024;

/// What waits for one mailbox.
#[derive(Debug)]
pub(super) struct Tray {
    /// Tells those of one inbox apart.
    pub(super) number: u64,
    entries: VecDeque<Entry>,
    bytes: usize,
    patience: Patience,
    /// Dropped since it began to lag.
    dropped: u64,
    /// Of the task that waits for an entry.
    pub(super) waker: Option<Waker>,
}

impl Tray {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            entries: VecDeque::new(),
            bytes: 0,
            patience: Patience::default(),
            dropped: 0,
            waker: None,
        }
    }

    /// Puts an entry in; returns who is to be woken for it.
    pub(super) fn add(&mut self, entry: Entry) -> Option<Waker> {
        self.bytes += entry.cost();
        self.entries.push_back(entry);
        self.waker.take()
    }

    /// Puts messages to those that wait last, if they are like them; whether they were. Nobody is to be woken:
    /// who waits has taken all there was.
    pub(super) fn join(&mut self, run: &Run<'_>) -> bool {
        let Some(Entry::Pack(pack)) = self.entries.back_mut() else { return false };
        let before = pack.cost();
        let joined = pack.join(run);
        self.bytes += pack.cost() - before;
        joined
    }

    pub(super) fn judge(&mut self, now: Instant) -> Verdict {
        self.patience.judge(self.bytes < WAITING_BYTES_MAX, now)
    }

    pub(super) fn count_dropped(&mut self, count: usize) {
        self.dropped += count as u64;
    }

    /// Moves what a mailbox may have beside its tray into `batch`; returns whether somebody waits for the
    /// room that this makes. With `batch` empty afterwards, there was nothing.
    pub(super) fn move_into(&mut self, batch: &mut VecDeque<Entry>) -> bool {
        let mut bytes = 0;
        while batch.len() < BATCH_ENTRIES_MAX && bytes < BATCH_BYTES_MAX {
            let Some(entry) = self.next() else { break };
            bytes += entry.cost();
            batch.push_back(entry);
        }
        self.bytes = self.bytes.saturating_sub(bytes);
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
