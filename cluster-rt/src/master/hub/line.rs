//! What waits for one worker: its outbox in the master, what it missed, for how long others wait for it.
//!
//! Decides whether it takes what comes; who sends, and who waits meanwhile, is `exchange`'s. Bounded by
//! `WAITING_BYTES_MAX` and one run, and by `NOTICES_BYTES_MAX` of notices beside those.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Instant};

use crate::{
    id::WorkerId,
    mail::{
        Head, Place, WAITING_BYTES_MAX,
        patience::{Patience, Verdict},
        pieces::{Parcel, Pieces},
    },
    sys::{passing::Passing, scoreboard::Row},
};

/// There is room for the failures of all requests that one worker may have open; a worker to which more is due
/// has not asked in good faith.
const NOTICES_BYTES_MAX: usize = 1024 * 1024;

/// What leaves room for all those that have to arrive.
const HINTS_BYTES_MAX: usize = NOTICES_BYTES_MAX / 4;

/// Messages by name of which is counted how many were dropped.
const DROPPED_NAMES_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Line {
    pub(super) outbox: Pieces,
    /// Of the notices that were put in since the outbox was empty.
    notices_bytes: usize,
    patience: Patience,
    /// By name: how many it missed since it began to lag.
    dropped: BTreeMap<Box<str>, u64>,
    /// Nothing more can be written to it.
    pub(super) closed: bool,
    /// Where the worker says that its mailboxes are read from; and what was there at the last look.
    row: &'static Row,
    reads_seen: u64,
}

impl Line {
    pub(super) fn new(row: &'static Row) -> Self {
        Self {
            outbox: Pieces::default(),
            notices_bytes: 0,
            patience: Patience::default(),
            dropped: BTreeMap::new(),
            closed: false,
            row,
            reads_seen: 0,
        }
    }

    /// What to do with something for the worker. One whose mailbox is full takes nothing from its lane, for
    /// longer than anybody is waited for if its user is slow; so it counts too that something is read there.
    pub(super) fn judge(&mut self, now: Instant) -> Verdict {
        let has_room = self.outbox.weight() < WAITING_BYTES_MAX;
        if !has_room {
            let reads = self.row.reads.load(Ordering::Relaxed);
            if std::mem::replace(&mut self.reads_seen, reads) != reads {
                self.patience.progressed(now);
            }
        }
        self.patience.judge(has_room, now)
    }

    /// `count` bytes were written. When the last is, a worker that lagged is told what it missed.
    pub(super) fn written(&mut self, me: WorkerId, count: usize, now: Instant) {
        self.outbox.advance(count);
        self.patience.progressed(now);
        if !self.outbox.is_empty() {
            return;
        }
        self.notices_bytes = 0;
        if self.patience.caught_up() {
            for (name, count) in std::mem::take(&mut self.dropped) {
                let frame = Head::lagged(Place::Worker(me), &name, count);
                self.outbox.push(&Parcel::Small(&frame));
            }
        }
    }

    pub(super) fn push(&mut self, parcel: &Parcel<'_>, fd: &mut Option<Passing>) {
        match fd.take() {
            Some(fd) => self.outbox.push_enclosing(parcel.bytes().to_vec(), fd),
            None => self.outbox.push(parcel),
        }
    }

    /// Takes a short frame of the hub's own, for which there is room however full the line is.
    pub(super) fn push_notice(&mut self, parcel: &Parcel<'_>) {
        self.push_up_to(NOTICES_BYTES_MAX, parcel);
    }

    /// Takes one without which nothing goes wrong, if few notices wait.
    pub(super) fn push_hint(&mut self, parcel: &Parcel<'_>) {
        self.push_up_to(HINTS_BYTES_MAX, parcel);
    }

    fn push_up_to(&mut self, most: usize, parcel: &Parcel<'_>) {
        let bytes = self.notices_bytes + parcel.bytes().len();
        if !self.closed && bytes <= most {
            self.notices_bytes = bytes;
            self.outbox.push(parcel);
        }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.outbox.clear();
        self.patience.caught_up();
    }

    pub(super) fn count_dropped(&mut self, name: &str, count: u64) {
        if let Some(dropped) = self.dropped.get_mut(name) {
            *dropped += count;
        } else if self.dropped.len() < DROPPED_NAMES_MAX {
            self.dropped.insert(name.into(), count);
        }
    }
}
