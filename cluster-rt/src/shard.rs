//! Splitting by data: which slot of a service a key belongs to, and the share of the keys that is this worker's.
//!
//! Does not move what is kept under a key: that is the user's code, which is told here when to. The splits
//! of a process change only by [`tell`], so that what they say of a key is the same until then.

mod splitter;

use std::{hash::Hash, sync::LazyLock};

use tokio::sync::watch;

pub use self::splitter::{HashSplitter, RangeSplitter, Splitter, TableSplitter};
use crate::{
    message::{self, Address, ClusterRequest, Requesting, service_hash},
    policy::rendezvous,
    wire::Split,
};

/// How the keys of each service are split, as this process was told last.
#[derive(Debug)]
struct Splits {
    /// The service that this process asks in if nothing else is said.
    own: u64,
    all: Vec<Split>,
}

/// At first that of a process without a cluster, which is all there is.
static SPLITS: LazyLock<watch::Sender<Splits>> = LazyLock::new(|| {
    let own = service_hash(None);
    let split = Split { service: own, slots: vec![0], version: 0 };
    watch::Sender::new(Splits { own, all: vec![split] })
});

impl Splits {
    fn of(&self, service: u64) -> Option<&Split> {
        self.all.iter().find(|split| split.service == service)
    }

    fn own(&self) -> Option<&Split> {
        self.of(self.own)
    }

    /// Takes the split in the place of the one before; whether that was another.
    fn replace(&mut self, split: Split) -> bool {
        let known = self.all.iter_mut().find(|known| known.service == split.service);
        // Services do not come and go.
        known.is_some_and(|known| {
            *known != split && {
                *known = split;
                true
            }
        })
    }
}

/// These are the splits of the cluster that this process has become part of, in a service of this name.
pub(crate) fn begin(service: Option<&str>, all: Vec<Split>) {
    SPLITS.send_replace(Splits { own: service_hash(service), all });
}

/// The keys of a service are split like this from now on; whether they were otherwise before. Called by one
/// thread, in the order of the changes.
pub(crate) fn tell(split: Split) -> bool {
    SPLITS.send_if_modified(|splits| splits.replace(split))
}

/// How many slots this process's own service has.
fn own_slots() -> usize {
    SPLITS.borrow().own().map_or(1, |split| split.slots.len())
}

/// Where the share is that a rule chooses by their number; what it says beyond that counts as the last.
fn address(service: Option<&'static str>, choose: impl FnOnce(usize) -> usize) -> Address {
    // A copy: the rule is the user's, and no lock is held while it runs.
    let slots = {
        let splits = SPLITS.borrow();
        let split =
            service.map_or_else(|| splits.own(), |name| splits.of(service_hash(Some(name))));
        split.map(|split| split.slots.clone())
    };
    let Some(slots) = slots else { return Address::Service(service.unwrap_or_default()) };
    let chosen = choose(slots.len()).min(slots.len().saturating_sub(1));
    Address::Slot(slots.get(chosen).copied().unwrap_or(0))
}

/// The slot among `slots` that a key belongs to.
fn slot_of(key: &(impl Hash + ?Sized), slots: usize) -> usize {
    rendezvous::place(rendezvous::hash_of(key), 0..slots).unwrap_or(0)
}

/// The slot of this process's service that a key belongs to: [`Shard::owner`] as this process knows it now.
///
/// A number below that of the service's slots, as [`Shard::index`] is; in a cluster that names no services it is
/// the slot itself. A worker asks in its own service, the master in the one that is named first. With `workers = 0`,
/// and in a process that is part of no cluster, 0. In another service, [`Splitter::address_in`] tells.
///
/// ```
/// assert_eq!(cluster::shard_of("alice"), 0, "no cluster here");
/// ```
pub fn shard_of(key: &(impl Hash + ?Sized)) -> usize {
    slot_of(key, own_slots())
}

/// Asks the worker of this process's service that a key belongs to: a [`request`](crate::request) to
/// [`HashSplitter.address(key)`](Splitter::address).
///
/// While the number of slots changes, the processes of a cluster are told one after another: who is asked
/// may know already that the key belongs to somebody else, or not yet that it is its own. It compares with
/// [`Shard::owns`], and says so in its reply.
///
/// # Errors
/// Those of [`request`](crate::request); the text names the slot. If its worker has died, or dies before it has
/// replied, [`Error::is_unreachable`](crate::Error::is_unreachable), at once: what it kept is lost, and the
/// next worker of the slot is asked from the moment on at which it is ready.
pub fn request_shard<M: ClusterRequest>(
    key: &(impl Hash + ?Sized),
    message: &M,
) -> Requesting<M::Reply> {
    message::request(HashSplitter.address(key), message)
}

/// Asks the worker of a service that a key belongs to there, as [`request_shard`] does in the own one.
///
/// ```no_run
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, cluster::ClusterMessage)]
/// # #[message(reply = String)]
/// # struct Load;
/// # async fn example() -> Result<(), cluster::Error> {
/// // In a worker of `web`:
/// let article = cluster::request_shard_in("jobs", "user:42", &Load).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As there; and if there is no such service.
pub fn request_shard_in<M: ClusterRequest>(
    service: &'static str,
    key: &(impl Hash + ?Sized),
    message: &M,
) -> Requesting<M::Reply> {
    message::request(HashSplitter.address_in(service, key), message)
}

/// The share of all keys that belongs to one worker, from [`Worker::shard`](crate::Worker::shard).
///
/// Each key belongs to one slot of a service, by rendezvous hashing: the same one in every process, program and run,
/// and for every worker that ever sits there. When the number of slots grows from 4 to 5, one key in five moves,
/// to the new slot; when it shrinks again, those keys move and no others. What other services have is nothing to it.
///
/// While a worker is replaced, the one that drains and the one that is to follow both have the share of their
/// slot; messages to the slot go to the newer as soon as that is ready.
///
/// A value: it does not change with the cluster. A key is hashed as its [`Hash`] says, so that `"a"` and
/// `String::from("a")` are one key, and `1_u32` and `1_u64` are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shard {
    /// The worker's slot, counted among those of its service alone, in the order in which they came; it keeps
    /// the number for as long as it is there. In a cluster that names no services that is
    /// [`Worker::slot`](crate::Worker::slot). Not below `count` in a worker that does not have its share yet,
    /// or whose slot was scaled away: it owns nothing.
    pub index: usize,
    /// Among how many slots the keys are split: those of the worker's service.
    pub count: usize,
    /// How often the number has changed since the cluster was started: two processes of a service with the same
    /// version agree on the owner of each key.
    pub version: u64,
}

impl Shard {
    /// That of the worker in a slot of the own service.
    fn of(slot: usize, splits: &Splits) -> Self {
        let none = Split { service: splits.own, slots: Vec::new(), version: 0 };
        let Split { slots, version, .. } = splits.own().unwrap_or(&none);
        let count = slots.len();
        let index = slots.iter().position(|&of| of == slot).unwrap_or(slot.max(count));
        Self { index, count, version: *version }
    }

    /// As this process knows it now, for the worker in this slot.
    pub(crate) fn now(slot: usize) -> Self {
        Self::of(slot, &SPLITS.borrow())
    }

    /// The slot that a key belongs to, counted as `index` is.
    pub fn owner(&self, key: &(impl Hash + ?Sized)) -> usize {
        slot_of(key, self.count)
    }

    /// Whether a key belongs to this worker.
    pub fn owns(&self, key: &(impl Hash + ?Sized)) -> bool {
        self.owner(key) == self.index
    }
}

/// Tells a worker that keys have moved, from [`Worker::shard_changes`](crate::Worker::shard_changes).
#[derive(Clone, Debug)]
pub struct ShardChanges {
    slot: usize,
    last: Shard,
    splits: watch::Receiver<Splits>,
}

impl ShardChanges {
    pub(crate) fn of(slot: usize) -> Self {
        Self::new(slot, SPLITS.subscribe())
    }

    fn new(slot: usize, mut splits: watch::Receiver<Splits>) -> Self {
        let last = Shard::of(slot, &splits.borrow_and_update());
        Self { slot, last, splits }
    }

    /// The share that this has told last; at first, the one at the time of its making.
    pub fn last(&self) -> Shard {
        self.last
    }

    /// Waits for another share than the last. Of several changes in a row it tells the newest; those of other
    /// services it does not tell.
    ///
    /// # Cancel safety
    /// Cancel-safe: a change that was not told is told by the next call.
    pub async fn next(&mut self) -> Shard {
        loop {
            // The sender is never dropped.
            let _ = self.splits.changed().await;
            let shard = Shard::of(self.slot, &self.splits.borrow_and_update());
            // Otherwise it was another service's that changed.
            if shard != self.last {
                self.last = shard;
                return shard;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u32 = 10_000;

    fn split(service: &str, slots: &[usize], version: u64) -> Split {
        Split { service: service_hash(Some(service)), slots: slots.to_vec(), version }
    }

    /// Of a worker of `web`.
    fn splits(web: &[usize], jobs: &[usize]) -> Splits {
        let all = vec![split("web", web, 0), split("jobs", jobs, 0)];
        Splits { own: service_hash(Some("web")), all }
    }

    fn shard(index: usize, slots: usize) -> Shard {
        Shard::of(index, &splits(&(0..slots).collect::<Vec<_>>(), &[]))
    }

    #[test]
    fn every_key_has_one_owner_and_each_slot_its_due() {
        for slots in 1..=8 {
            let mut owned = vec![0; slots];
            let keys = KEYS * u32::try_from(slots).expect("few");
            for key in 0..keys {
                let key = format!("user:{key}");
                let owners = (0..slots).filter(|&index| shard(index, slots).owns(&key));
                let owner: Vec<_> = owners.collect();
                assert_eq!(owner, [shard(0, slots).owner(&key)]);
                owned[owner[0]] += 1;
            }
            for (slot, owned) in owned.into_iter().enumerate() {
                let share = f64::from(owned) / f64::from(KEYS);
                assert!((share - 1.0).abs() < 0.05, "{share} at {slot} of {slots}");
            }
        }
    }

    #[test]
    fn a_worker_of_a_slot_that_is_not_among_them_owns_nothing() {
        assert!((0..KEYS).all(|key| !shard(4, 4).owns(&key)));
    }

    #[test]
    fn text_is_one_key_however_it_is_held() {
        let held: (&str, String, Box<str>) = ("alice", "alice".to_owned(), "alice".into());
        let owner = |key: &str| shard(0, 64).owner(key);
        assert_eq!(owner(held.0), shard(0, 64).owner(&held.1));
        assert_eq!(owner(held.0), shard(0, 64).owner(&held.2));
    }

    #[test]
    fn a_share_is_a_place_among_the_slots_of_the_own_service() {
        let splits = splits(&[0, 1, 7, 4], &[2, 3]);
        let of = |slot| {
            let Shard { index, count, .. } = Shard::of(slot, &splits);
            (index, count)
        };
        assert_eq!([0, 1, 7, 4].map(of), [(0, 4), (1, 4), (2, 4), (3, 4)]);
        // Of slots that have no share, or that are another service's.
        assert_eq!([2, 9].map(of), [(4, 4), (9, 4)]);
    }

    #[tokio::test]
    async fn of_several_changes_the_newest_is_told() {
        let sender = watch::Sender::new(splits(&[0, 1, 2, 3], &[4]));
        let mut changes = ShardChanges::new(1, sender.subscribe());
        assert_eq!(changes.last(), shard(1, 4));
        for (slots, version) in [(&[0, 1, 2, 3, 5][..], 1), (&[0, 1, 2, 3, 5, 6], 2)] {
            sender.send_if_modified(|splits| splits.replace(split("web", slots, version)));
        }
        assert_eq!(changes.last().count, 4, "not told yet");
        let told = changes.next().await;
        assert_eq!((told.index, told.count, told.version), (1, 6, 2));
        assert_eq!(changes.last(), told);
    }

    #[tokio::test]
    async fn what_other_services_have_is_not_told() {
        let sender = watch::Sender::new(splits(&[0, 1], &[2]));
        let mut changes = ShardChanges::new(1, sender.subscribe());
        assert!(sender.send_if_modified(|splits| splits.replace(split("jobs", &[2, 3], 1))));
        let told = tokio::time::timeout(std::time::Duration::from_millis(20), changes.next()).await;
        assert!(told.is_err(), "{told:?}");
        assert!(!sender.send_if_modified(|splits| splits.replace(split("jobs", &[2, 3], 1))));
    }
}
