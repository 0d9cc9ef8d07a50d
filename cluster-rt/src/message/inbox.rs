//! What has come for this process: a tray for each mailbox, and what nobody has subscribed to yet.
//!
//! Does no I/O and decodes nothing. Under its one lock nobody is woken and no letter is dropped: either may
//! run code that sends, or comes back here.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Instant,
};

use super::{
    kept::{Forgotten, Kept},
    letter::{Entry, Letter},
    reply::Return,
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
    /// Whoever is to subscribe here has done so.
    deserted: bool,
}

/// Which tray is a mailbox's.
#[derive(Debug)]
pub(super) struct Subscription {
    name: &'static str,
    number: u64,
    reads: Arc<AtomicU64>,
}

impl Subscription {
    /// The mailbox has returned something, be it of a batch that has long been out of the tray.
    pub(super) fn note_read(&self) {
        // Nobody else writes it.
        self.reads.store(self.reads.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// What feeding has left to do, without the lock.
#[derive(Debug, Default)]
pub(super) struct After {
    /// What had to be dropped because nobody has subscribed to it.
    pub(super) forgotten: Vec<Forgotten>,
    /// Requests that are kept because nobody has subscribed to them.
    pub(super) unheard: Vec<Arc<Return>>,
    /// Requests that nobody will subscribe to.
    pub(super) refused: Vec<Letter>,
    /// A mailbox that is full was read from since it was last asked.
    pub(super) progress: bool,
}

impl State {
    fn tray(&mut self, of: &Subscription) -> Option<&mut Tray> {
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
        let reads = Arc::<AtomicU64>::default();
        if !state.closed {
            let mut tray = Tray::new(number, Arc::clone(&reads));
            for entry in state.kept.take(name) {
                // Nobody waits for it yet.
                tray.add(entry);
            }
            state.trays.entry(name).or_default().push(tray);
        }
        Subscription { name, number, reads }
    }

    pub(super) fn unsubscribe(&self, subscription: &Subscription) {
        let &Subscription { name, number, .. } = subscription;
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
        subscription: &Subscription,
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
    pub(super) fn try_next(
        &self,
        subscription: &Subscription,
        batch: &mut VecDeque<Entry>,
    ) -> bool {
        self.lock().tray(subscription).is_some_and(|tray| tray.move_into(batch))
    }

    /// Lets `feeder` put in what came, as much as it likes under one lock.
    pub(super) fn feed<R>(&self, feeder: impl FnOnce(&mut Feed<'_>) -> R) -> (R, After) {
        let mut state = self.lock();
        let (wakers, dropped, after) = (Vec::new(), Vec::new(), After::default());
        let mut feed = Feed { state: &mut state, wakers, dropped, after };
        let result = feeder(&mut feed);
        let Feed { wakers, dropped, after, .. } = feed;
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        drop(dropped);
        (result, after)
    }

    /// Nobody will subscribe here any more: of what nobody has subscribed to, requests are not kept.
    pub(crate) fn desert(&self) {
        self.lock().deserted = true;
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
    after: After,
}

impl Feed<'_> {
    /// Whether a message called `name` would be taken now, by each of its mailboxes or for none.
    ///
    /// # Errors
    /// When to try again, if one of them is full.
    pub(super) fn judge(&mut self, name: &str, now: Instant) -> Result<(), Instant> {
        let trays = self.state.trays.get_mut(name);
        trays.map_or(Ok(()), |trays| judge_all(trays, now, &mut self.after.progress))
    }

    /// Takes in messages, for each of their mailboxes; `letter` makes one of a payload.
    ///
    /// # Errors
    /// When to try again, if one of them is full; then none has any.
    pub(super) fn offer(
        &mut self,
        run: &Run<'_>,
        now: Instant,
        letter: impl FnMut(&[u8]) -> Letter,
    ) -> Result<(), Instant> {
        let Some(trays) = self.state.trays.get_mut(run.first.name) else {
            run.payloads().map(letter).for_each(|letter| self.keep(run.first.name, letter));
            return Ok(());
        };
        judge_all(trays, now, &mut self.after.progress)?;
        if run.count == 1 {
            self.give(run, letter);
            return Ok(());
        }
        for tray in trays {
            match tray.is_lagging() {
                true => tray.count_dropped(run.count),
                false => self.wakers.extend(tray.add_run(run)),
            }
        }
        Ok(())
    }

    /// Keeps a message that nobody has subscribed to.
    fn keep(&mut self, name: &str, letter: Letter) {
        match &letter.back {
            Some(_) if self.state.deserted => return self.after.refused.push(letter),
            Some(back) => self.after.unheard.push(Arc::clone(back)),
            None => {}
        }
        self.state.kept.add(name, letter, &mut self.after.forgotten);
    }

    /// Gives a single message to those of its mailboxes that do not lag.
    fn give(&mut self, run: &Run<'_>, mut letter: impl FnMut(&[u8]) -> Letter) {
        let Some(trays) = self.state.trays.get_mut(run.first.name) else { return };
        let last = trays.iter().rposition(|tray| !tray.is_lagging());
        let (mut made, mut make) = (None, || letter(run.first.payload));
        for (at, tray) in trays.iter_mut().enumerate() {
            if tray.is_lagging() {
                tray.count_dropped(1);
            } else if !tray.join(run) {
                // None is kept back, so that a descriptor need not be copied for a single mailbox.
                let letter = match last == Some(at) {
                    true => made.take().unwrap_or_else(&mut make),
                    false => made.get_or_insert_with(&mut make).clone(),
                };
                self.wakers.extend(tray.add(Entry::Letter(letter)));
            }
        }
        // If nobody takes it, a request has to fail.
        self.dropped.extend(made.or_else(|| last.is_none().then(make)));
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

/// Whether none of the trays has to be waited for.
///
/// # Errors
/// When to try again, if one has.
fn judge_all(trays: &mut [Tray], now: Instant, progress: &mut bool) -> Result<(), Instant> {
    let waits = trays.iter_mut().filter_map(|tray| match tray.judge(now, progress) {
        Verdict::Wait(until) => Some(until),
        Verdict::Deliver | Verdict::Drop => None,
    });
    waits.min().map_or(Ok(()), Err)
}
