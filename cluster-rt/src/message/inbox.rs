//! What has come for this process: a tray for each mailbox, and what nobody has subscribed to yet.
//!
//! Does no I/O and decodes nothing. Under its one lock nobody is woken and no letter is dropped: either may
//! run code that sends, or comes back here.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use super::{
    kept::{Forgotten, Kept},
    letter::{Entry, Letter},
    pack::Pack,
    tray::Tray,
};
use crate::mail::{patience::Verdict, run::Run};

#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By name of the message; no empty lists.
    trays: BTreeMap<&'static str, Vec<Tray>>,
    /// How many trays there have been.
    count: u64,
    kept: Kept,
    closed: bool,
}

/// Which tray is a mailbox's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscription {
    name: &'static str,
    number: u64,
}

impl State {
    fn tray(&mut self, of: Subscription) -> Option<&mut Tray> {
        self.trays.get_mut(of.name)?.iter_mut().find(|tray| tray.number == of.number)
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tray for messages called `name`; what was kept of them is in it.
    pub(super) fn subscribe(&self, name: &'static str) -> Subscription {
        let mut state = self.lock();
        state.count += 1;
        let number = state.count;
        if !state.closed {
            let mut tray = Tray::new(number);
            for entry in state.kept.take(name) {
                // Nobody waits for it yet.
                tray.add(entry);
            }
            state.trays.entry(name).or_default().push(tray);
        }
        Subscription { name, number }
    }

    pub(super) fn unsubscribe(&self, subscription: Subscription) {
        let Subscription { name, number } = subscription;
        let mut state = self.lock();
        let Some(trays) = state.trays.get_mut(name) else { return };
        let at = trays.iter().position(|tray| tray.number == number);
        let gone = at.map(|at| trays.remove(at));
        if trays.is_empty() {
            state.trays.remove(name);
        }
        drop(state);
        drop(gone);
    }

    /// Moves the next entries into `batch`; returns whether somebody waits for room. With none there,
    /// and `Ready`, nothing will come.
    pub(super) fn poll(
        &self,
        subscription: Subscription,
        batch: &mut VecDeque<Entry>,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        let mut state = self.lock();
        let closed = state.closed;
        let Some(tray) = state.tray(subscription) else { return Poll::Ready(false) };
        let waited = tray.move_into(batch);
        if !batch.is_empty() || closed {
            return Poll::Ready(waited);
        }
        // The drop of another task's waker runs that task's code.
        let before = tray.waker.replace(cx.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// Moves the entries that are there into `batch`; returns whether somebody waits for room.
    pub(super) fn try_next(&self, subscription: Subscription, batch: &mut VecDeque<Entry>) -> bool {
        self.lock().tray(subscription).is_some_and(|tray| tray.move_into(batch))
    }

    /// Lets `feeder` put in what came, as much as it likes under one lock. Returns what it returns, and what
    /// had to be dropped because nobody has subscribed to it.
    pub(super) fn feed<R>(&self, feeder: impl FnOnce(&mut Feed<'_>) -> R) -> (R, Vec<Forgotten>) {
        let mut state = self.lock();
        let (wakers, dropped, forgotten) = (Vec::new(), Vec::new(), Vec::new());
        let mut feed = Feed { state: &mut state, wakers, dropped, forgotten };
        let result = feeder(&mut feed);
        let Feed { wakers, dropped, forgotten, .. } = feed;
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        drop(dropped);
        (result, forgotten)
    }

    /// Nothing will come any more: every mailbox ends when it is empty.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let trays = state.trays.values_mut().flatten();
        let wakers: Vec<Waker> = trays.filter_map(|tray| tray.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// The inbox, locked for who puts something in; and what is to be done when it is not locked any more.
pub(super) struct Feed<'a> {
    state: &'a mut State,
    wakers: Vec<Waker>,
    dropped: Vec<Letter>,
    forgotten: Vec<Forgotten>,
}

impl Feed<'_> {
    /// Takes in messages, for each of their mailboxes; `letter` makes one of a payload.
    ///
    /// # Errors
    /// When to try again, if one of them is full; then none has any.
    pub(super) fn offer(
        &mut self,
        run: &Run<'_>,
        now: Instant,
        mut letter: impl FnMut(&[u8]) -> Letter,
    ) -> Result<(), Instant> {
        let Some(trays) = self.state.trays.get_mut(run.first.name) else {
            for payload in run.payloads() {
                self.state.kept.add(run.first.name, letter(payload), &mut self.forgotten);
            }
            return Ok(());
        };
        if let [tray] = &mut trays[..] {
            // By far the most usual.
            match tray.judge(now) {
                Verdict::Deliver if tray.join(run) => {}
                Verdict::Deliver => {
                    let entry = match run.count {
                        1 => Entry::Letter(letter(run.first.payload)),
                        _ => Entry::Pack(Pack::of(run)),
                    };
                    self.wakers.extend(tray.add(entry));
                }
                Verdict::Wait(until) => return Err(until),
                Verdict::Drop => {
                    tray.count_dropped(run.count);
                    self.dropped.push(letter(run.first.payload));
                }
            }
            return Ok(());
        }
        self.offer_to_many(run, now, letter)
    }

    fn offer_to_many(
        &mut self,
        run: &Run<'_>,
        now: Instant,
        mut letter: impl FnMut(&[u8]) -> Letter,
    ) -> Result<(), Instant> {
        let Some(trays) = self.state.trays.get_mut(run.first.name) else { return Ok(()) };
        let verdicts: Vec<Verdict> = trays.iter_mut().map(|tray| tray.judge(now)).collect();
        let until = verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Wait(until) => Some(*until),
            _ => None,
        });
        if let Some(until) = until.min() {
            return Err(until);
        }
        if run.count > 1 {
            for (tray, verdict) in trays.iter_mut().zip(verdicts) {
                match verdict {
                    Verdict::Deliver if tray.join(run) => {}
                    Verdict::Deliver => self.wakers.extend(tray.add(Entry::Pack(Pack::of(run)))),
                    _ => tray.count_dropped(run.count),
                }
            }
            return Ok(());
        }
        let mut letter = Some(letter(run.first.payload));
        let last = verdicts.iter().rposition(|verdict| *verdict == Verdict::Deliver);
        for (at, (tray, verdict)) in trays.iter_mut().zip(verdicts).enumerate() {
            match verdict {
                // None is kept back, so that a descriptor need not be copied for a single mailbox.
                Verdict::Deliver => {
                    let copy = if last == Some(at) { letter.take() } else { letter.clone() };
                    let waker = copy.and_then(|letter| tray.add(Entry::Letter(letter)));
                    self.wakers.extend(waker);
                }
                _ => tray.count_dropped(1),
            }
        }
        // Nobody took it.
        self.dropped.extend(letter);
        Ok(())
    }

    /// Messages called `name` were dropped before they got here.
    pub(super) fn missed(&mut self, name: &str, count: u64) {
        match self.state.trays.get_mut(name) {
            Some(trays) => {
                let wakers = trays.iter_mut().filter_map(|tray| tray.add(Entry::Missed(count)));
                self.wakers.extend(wakers);
            }
            None => self.state.kept.miss(name, count),
        }
    }
}
