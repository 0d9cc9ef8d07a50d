//! What one worker keeps, and of which keys it may speak. Neither waits nor sends.
//!
//! A key has one *speaker* at most, the only one that tells or changes its value. Its owner becomes that when
//! nobody else holds a copy any more; an owner that hears of a share without the key is none from then on, and
//! holds what it has as a copy until its new owner says that it has taken it. So all copies are alike.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Bound::{Excluded, Unbounded},
};

use cluster::{ClusterMessage, Shard};
use serde::{Deserialize, Serialize};

const KEYS_MAX: usize = 1_000_000;
/// Moved at once: with the longest values, a good deal less than a message may have.
const BATCH: usize = 256;

pub(crate) type Pairs = Vec<(String, String)>;

#[derive(Serialize, Deserialize, ClusterMessage)]
pub(crate) enum Operation {
    Get,
    Set(String),
}

#[derive(Serialize, Deserialize, ClusterMessage)]
pub(crate) enum Outcome {
    Value(String),
    Kept,
    Nothing,
    /// There is nothing, and there may have been.
    Lost,
    Full,
    /// It belongs to another worker, as far as this one knows.
    Elsewhere,
    /// It belongs here and has not come yet.
    Moving,
}

pub(crate) struct Store {
    shard: Shard,
    values: BTreeMap<String, String>,
    /// Copies for others, by slot.
    leaving: BTreeMap<usize, BTreeMap<String, String>>,
    /// All that belongs to this share is here, and nowhere else.
    complete: bool,
    /// The share before this one, if it was complete: who spoke for a key then still does.
    before: Option<Shard>,
    /// The next worker of this slot speaks for its keys.
    resigned: bool,
    /// Keys of this share may have died with somebody.
    lost: bool,
}

impl Store {
    pub(crate) fn new(shard: Shard) -> Self {
        let (values, leaving) = (BTreeMap::new(), BTreeMap::new());
        Self { shard, values, leaving, complete: false, before: None, resigned: false, lost: false }
    }

    pub(crate) fn shard(&self) -> Shard {
        self.shard
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.leaving.is_empty()
    }

    pub(crate) fn may_have_lost(&self) -> bool {
        self.lost
    }

    fn owns(&self, key: &str) -> bool {
        !self.resigned && self.shard.owns(key)
    }

    /// Whether the key belongs here, and this worker may not speak for it yet.
    pub(crate) fn awaits(&self, key: &str) -> bool {
        let spoke = || self.before.is_some_and(|before| before.owns(key));
        self.owns(key) && !self.complete && !spoke()
    }

    pub(crate) fn act(&mut self, key: &str, operation: Operation) -> Outcome {
        if !self.owns(key) {
            return Outcome::Elsewhere;
        }
        if self.awaits(key) {
            return Outcome::Moving;
        }
        match operation {
            Operation::Get => match self.values.get(key) {
                Some(value) => Outcome::Value(value.clone()),
                None if self.lost => Outcome::Lost,
                None => Outcome::Nothing,
            },
            Operation::Set(value) => {
                if self.values.len() >= KEYS_MAX && !self.values.contains_key(key) {
                    return Outcome::Full;
                }
                self.values.insert(key.to_owned(), value);
                Outcome::Kept
            }
        }
    }

    /// Keys belong to others from now on.
    pub(crate) fn reshard(&mut self, shard: Shard) {
        self.before = self.complete.then_some(self.shard);
        self.complete = false;
        self.shard = shard;
        self.sort();
    }

    /// The next worker of this slot is to speak. `false` if not everything is here yet that it has to be given.
    pub(crate) fn resign(&mut self) -> bool {
        if !self.resigned && self.complete {
            self.resigned = true;
            self.sort();
        }
        self.resigned
    }

    pub(crate) fn has_resigned(&self) -> bool {
        self.resigned
    }

    /// Puts everything where it belongs.
    fn sort(&mut self) {
        let leaving = std::mem::take(&mut self.leaving).into_values().flatten();
        let all: Vec<_> = std::mem::take(&mut self.values).into_iter().chain(leaving).collect();
        for (key, value) in all {
            match self.shard.owner(&key) {
                slot if slot == self.shard.index && !self.resigned => &mut self.values,
                slot => self.leaving.entry(slot).or_default(),
            }
            .insert(key, value);
        }
    }

    /// Lets go of what the owner in `slot` has taken, all up to this key, and returns what comes next; nothing
    /// when it has all.
    pub(crate) fn give(&mut self, slot: usize, taken: Option<&str>) -> Pairs {
        let Some(copies) = self.leaving.get_mut(&slot) else { return Pairs::new() };
        if let Some(taken) = taken {
            let rest = copies.range::<str, _>((Excluded(taken), Unbounded)).next();
            let rest = rest.map(|(key, _)| key.clone());
            *copies = rest.map_or_else(BTreeMap::new, |rest| copies.split_off(&rest));
        }
        let pairs = copies.iter().take(BATCH).map(|(k, v)| (k.clone(), v.clone())).collect();
        if copies.is_empty() {
            self.leaving.remove(&slot);
        }
        pairs
    }

    /// Takes in what belongs here. Whoever gave it still holds copies.
    pub(crate) fn take(&mut self, pairs: Pairs) {
        self.values.extend(pairs);
    }

    pub(crate) fn note_loss(&mut self) {
        self.lost = true;
    }

    /// Everybody has given all.
    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shard { index, count, version, .. } = self.shard;
        let leaving: usize = self.leaving.values().map(BTreeMap::len).sum();
        write!(f, "slot {index} of {count}, version {version}, {} keys, ", self.values.len())?;
        write!(f, "{leaving} leaving, {}", if self.complete { "complete" } else { "incomplete" })
    }
}
