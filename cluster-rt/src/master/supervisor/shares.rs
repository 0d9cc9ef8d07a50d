//! How the keys of each service are split over its slots.
//!
//! A share is a place in the list of a service's slots, in the order in which they came: slots come and go at its
//! end alone, so that a slot keeps its place for as long as it is there, whatever its number and whatever other
//! services do.

use super::{Action, Supervisor};
use crate::{event::Event, message::service_hash, wire::Split};

/// The slots of a service.
#[derive(Debug)]
pub(super) struct Shares {
    /// In the order in which they came.
    slots: Vec<usize>,
    /// So many of the first have a share.
    count: usize,
    /// How often that number has changed.
    version: u64,
}

impl Shares {
    pub(super) fn new(slots: Vec<usize>) -> Self {
        Self { count: slots.len(), slots, version: 0 }
    }

    /// A new slot, which has no share yet.
    pub(super) fn add(&mut self, slot: usize) {
        self.slots.push(slot);
    }

    /// Takes out the slot that came last.
    pub(super) fn remove_last(&mut self) -> Option<usize> {
        self.slots.pop()
    }

    /// Gives every slot a share, and returns how many had one, if that is a change.
    fn settle(&mut self) -> Option<usize> {
        let from = std::mem::replace(&mut self.count, self.slots.len());
        let changed = from != self.count;
        self.version += u64::from(changed);
        changed.then_some(from)
    }

    /// Those that have no share yet.
    fn new_ones(&self) -> &[usize] {
        self.slots.get(self.count..).unwrap_or_default()
    }
}

impl Supervisor {
    /// How the keys of each service are split.
    pub(crate) fn splits(&self) -> Vec<Split> {
        let split = |service: &super::Service| {
            let Shares { slots, count, version } = &service.shares;
            Split {
                service: service_hash(service.given.name),
                slots: slots.iter().take(*count).copied().collect(),
                version: *version,
            }
        };
        self.services.iter().map(split).collect()
    }

    /// Keys belong to new slots when all of those serve, so that whoever is asked is there; those of slots that
    /// are scaled away belong to others at once, while their workers still drain.
    pub(super) fn look_after_shares(&mut self, out: &mut Vec<Action>) {
        for index in 0..self.services.len() {
            let new = self.services[index].shares.new_ones();
            if !new.iter().all(|&slot| self.slot_is_served(slot)) {
                continue;
            }
            let shares = &mut self.services[index].shares;
            if let Some(from) = shares.settle() {
                let (service, to) = (self.name_of(index), self.services[index].shares.count);
                out.push(Action::Emit(Event::Resharded { service, from, to }));
            }
        }
    }
}
