//! What has come for this process: a tray for each mailbox, and what nobody has subscribed to yet.
//!
//! Does no I/O and decodes nothing. Each tray is bounded: while one is full, whoever feeds it waits, as
//! `mail::patience` allows, and then it alone misses what comes. What is kept for a later subscriber
//! loses its oldest. Both say how many were missed.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use super::reply::Return;
use crate::{
    mail::{
        DESCRIPTOR_BYTES, Frame, Place, WAITING_BYTES_MAX,
        patience::{Patience, Verdict},
    },
    sys::passing::Passing,
};

/// What an entry is taken to cost beside its payload, so that the bound is one on their number too.
const ENTRY_BYTES: usize = 128;

/// What a mailbox takes at once, so that it and the thread that feeds it meet less often: few enough to
/// be nothing beside its bound.
const BATCH_ENTRIES_MAX: usize = 64;
const BATCH_BYTES_MAX: usize = 64 * 1024;

/// Names for which what was missed is counted while nobody has subscribed to them.
const MISSED_NAMES_MAX: usize = 256;

/// A message that came.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) from: Place,
    pub(super) fingerprint: u64,
    pub(super) generation: u32,
    pub(super) payload: Arc<[u8]>,
    pub(super) enclosed: Enclosed,
    /// For a request: the way back, which fails the request when the last copy is dropped.
    pub(super) back: Option<Arc<Return>>,
}

impl Letter {
    fn cost(&self) -> usize {
        let descriptor = match self.enclosed {
            Enclosed::Descriptor(_) => DESCRIPTOR_BYTES,
            Enclosed::Nothing | Enclosed::Lost => 0,
        };
        self.payload.len() + ENTRY_BYTES + descriptor
    }
}

/// What came with a message.
#[derive(Clone, Debug)]
pub(super) enum Enclosed {
    Nothing,
    Descriptor(Arc<Passing>),
    Lost,
}

#[derive(Debug)]
pub(super) enum Entry {
    Letter(Letter),
    /// So many did not get here.
    Missed(u64),
}

/// What waits for one mailbox.
#[derive(Debug, Default)]
pub(super) struct Tray(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
    patience: Patience,
    /// Dropped since it began to lag.
    dropped: u64,
    waker: Option<Waker>,
    closed: bool,
}

impl Tray {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the next entries into `batch`; returns whether somebody waits for room. With none there,
    /// and `Ready`, nothing will come.
    pub(super) fn poll(&self, batch: &mut VecDeque<Entry>, cx: &mut Context<'_>) -> Poll<bool> {
        let mut waiting = self.lock();
        if waiting.move_into(batch) {
            return Poll::Ready(waiting.patience.progressed(Instant::now()));
        }
        if waiting.closed {
            return Poll::Ready(false);
        }
        waiting.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Moves the entries that are there into `batch`; returns whether somebody waits for room.
    pub(super) fn try_next(&self, batch: &mut VecDeque<Entry>) -> bool {
        let mut waiting = self.lock();
        waiting.move_into(batch) && waiting.patience.progressed(Instant::now())
    }

    fn add(&self, entry: Entry) {
        let mut waiting = self.lock();
        if let Entry::Letter(letter) = &entry {
            waiting.bytes += letter.cost();
        }
        waiting.entries.push_back(entry);
        if let Some(waker) = waiting.waker.take() {
            drop(waiting);
            waker.wake();
        }
    }

    fn judge(&self, now: Instant) -> Verdict {
        let mut waiting = self.lock();
        let room = waiting.bytes < WAITING_BYTES_MAX;
        waiting.patience.judge(room, now)
    }

    fn count_dropped(&self) {
        self.lock().dropped += 1;
    }

    fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Waiting {
    /// Moves what a mailbox may have beside its tray; whether there was anything.
    fn move_into(&mut self, batch: &mut VecDeque<Entry>) -> bool {
        let mut bytes = 0;
        while batch.len() < BATCH_ENTRIES_MAX && bytes < BATCH_BYTES_MAX {
            let Some(entry) = self.next() else { break };
            if let Entry::Letter(letter) = &entry {
                bytes += letter.cost();
            }
            batch.push_back(entry);
        }
        !batch.is_empty()
    }

    fn next(&mut self) -> Option<Entry> {
        if let Some(entry) = self.entries.pop_front() {
            if let Entry::Letter(letter) = &entry {
                self.bytes = self.bytes.saturating_sub(letter.cost());
            }
            return Some(entry);
        }
        if self.patience.caught_up() && self.dropped > 0 {
            return Some(Entry::Missed(std::mem::take(&mut self.dropped)));
        }
        None
    }
}

#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By name of the message; no empty lists.
    trays: BTreeMap<&'static str, Vec<Arc<Tray>>>,
    kept: Kept,
    closed: bool,
}

/// The name of a message that was kept and dropped, and the generation of its sender.
pub(super) type Forgotten = (Box<str>, u32);

/// What nobody has subscribed to, oldest first.
#[derive(Debug, Default)]
struct Kept {
    letters: VecDeque<(Box<str>, Letter)>,
    bytes: usize,
    missed: BTreeMap<Box<str>, u64>,
}

impl Kept {
    /// Returns what was dropped for it.
    fn add(&mut self, name: &str, letter: Letter) -> Vec<Forgotten> {
        let mut forgotten = Vec::new();
        self.bytes += letter.cost() + name.len();
        self.letters.push_back((name.into(), letter));
        while self.bytes > WAITING_BYTES_MAX && self.letters.len() > 1 {
            let Some((name, letter)) = self.letters.pop_front() else { break };
            self.bytes -= letter.cost() + name.len();
            self.miss(name.clone(), 1);
            forgotten.push((name, letter.generation));
        }
        forgotten
    }

    fn miss(&mut self, name: Box<str>, count: u64) {
        if self.missed.len() < MISSED_NAMES_MAX || self.missed.contains_key(&name) {
            *self.missed.entry(name).or_default() += count;
        }
    }

    fn take(&mut self, wanted: &str) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        if let Some(count) = self.missed.remove(wanted) {
            entries.push(Entry::Missed(count));
        }
        let (taken, left) =
            std::mem::take(&mut self.letters).into_iter().partition(|(name, _)| **name == *wanted);
        self.letters = left;
        let taken: VecDeque<(Box<str>, Letter)> = taken;
        for (name, letter) in taken {
            self.bytes -= letter.cost() + name.len();
            entries.push(Entry::Letter(letter));
        }
        entries
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tray for messages called `name`; what was kept of them is in it.
    pub(super) fn subscribe(&self, name: &'static str) -> Arc<Tray> {
        let tray = Arc::new(Tray::default());
        let mut state = self.lock();
        if state.closed {
            tray.close();
            return tray;
        }
        for entry in state.kept.take(name) {
            tray.add(entry);
        }
        state.trays.entry(name).or_default().push(Arc::clone(&tray));
        tray
    }

    pub(super) fn unsubscribe(&self, name: &'static str, tray: &Arc<Tray>) {
        let mut state = self.lock();
        if let Some(trays) = state.trays.get_mut(name) {
            trays.retain(|other| !Arc::ptr_eq(other, tray));
            if trays.is_empty() {
                state.trays.remove(name);
            }
        }
    }

    /// Takes in a message, for each of its mailboxes. Returns what had to be dropped if there is none.
    ///
    /// # Errors
    /// When to try again, if one of them is full; then none has it.
    pub(super) fn offer(
        &self,
        frame: &Frame<'_>,
        now: Instant,
        letter: impl FnOnce() -> Letter,
    ) -> Result<Vec<Forgotten>, Instant> {
        let mut state = self.lock();
        let Some(trays) = state.trays.get(frame.name) else {
            return Ok(state.kept.add(frame.name, letter()));
        };
        if let [tray] = &trays[..] {
            // By far the most usual.
            match tray.judge(now) {
                Verdict::Deliver => tray.add(Entry::Letter(letter())),
                Verdict::Wait(until) => return Err(until),
                Verdict::Drop => {
                    tray.count_dropped();
                    // Its drop may send, so not under the lock.
                    drop(state);
                    drop(letter());
                }
            }
            return Ok(Vec::new());
        }
        let verdicts: Vec<Verdict> = trays.iter().map(|tray| tray.judge(now)).collect();
        let until = verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Wait(until) => Some(*until),
            _ => None,
        });
        if let Some(until) = until.min() {
            return Err(until);
        }
        let mut letter = Some(letter());
        let last = verdicts.iter().rposition(|verdict| *verdict == Verdict::Deliver);
        for (at, (tray, verdict)) in trays.iter().zip(verdicts).enumerate() {
            match verdict {
                // None is kept back, so that a descriptor need not be copied for a single mailbox.
                Verdict::Deliver => {
                    let copy = if last == Some(at) { letter.take() } else { letter.clone() };
                    copy.into_iter().for_each(|letter| tray.add(Entry::Letter(letter)));
                }
                _ => tray.count_dropped(),
            }
        }
        // Nobody took it: its drop may send, so not under the lock.
        drop(state);
        drop(letter);
        Ok(Vec::new())
    }

    /// Messages called `name` were dropped before they got here.
    pub(super) fn missed(&self, name: &str, count: u64) {
        let mut state = self.lock();
        match state.trays.get(name) {
            Some(trays) => trays.iter().for_each(|tray| tray.add(Entry::Missed(count))),
            None => state.kept.miss(name.into(), count),
        }
    }

    /// Nothing will come any more: every mailbox ends when it is empty.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.trays.values().flatten().for_each(|tray| tray.close());
    }
}
