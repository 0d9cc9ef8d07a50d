//! Messages that nobody has subscribed to yet, oldest first.
//!
//! Plain data, guarded by the inbox's lock. Bounded: what is too much loses its oldest, which are counted.

use std::collections::{BTreeMap, VecDeque};

use super::letter::{Entry, Letter};
use crate::mail::WAITING_BYTES_MAX;

/// Names for which what was missed is counted while nobody has subscribed to them.
const MISSED_NAMES_MAX: usize = 256;

/// A message that was kept and dropped. Its drop may send, so it has to come after that of the lock.
pub(super) type Forgotten = (Box<str>, Letter);

#[derive(Debug, Default)]
pub(super) struct Kept {
    letters: VecDeque<(Box<str>, Letter)>,
    bytes: usize,
    missed: BTreeMap<Box<str>, u64>,
}

impl Kept {
    /// Keeps a letter; what makes way for it goes to `forgotten`.
    pub(super) fn add(&mut self, name: &str, letter: Letter, forgotten: &mut Vec<Forgotten>) {
        self.bytes += letter.cost() + name.len();
        self.letters.push_back((name.into(), letter));
        while self.bytes > WAITING_BYTES_MAX && self.letters.len() > 1 {
            let Some((name, letter)) = self.letters.pop_front() else { break };
            self.bytes -= letter.cost() + name.len();
            self.miss(&name, 1);
            forgotten.push((name, letter));
        }
    }

    /// Counts messages that are not here.
    pub(super) fn miss(&mut self, name: &str, count: u64) {
        if let Some(missed) = self.missed.get_mut(name) {
            *missed += count;
        } else if self.missed.len() < MISSED_NAMES_MAX {
            self.missed.insert(name.into(), count);
        }
    }

    /// Everything there is under a name.
    pub(super) fn take(&mut self, wanted: &str) -> Vec<Entry> {
        let missed = self.missed.remove(wanted).map(Entry::Missed);
        let mut entries: Vec<Entry> = missed.into_iter().collect();
        for (name, letter) in std::mem::take(&mut self.letters) {
            if *name == *wanted {
                self.bytes -= letter.cost() + name.len();
                entries.push(Entry::Letter(letter));
            } else {
                self.letters.push_back((name, letter));
            }
        }
        entries
    }
}
