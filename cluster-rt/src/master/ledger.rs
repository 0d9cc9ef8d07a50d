//! What the workers of each slot have done and come to, summed up over their lives.
//!
//! Only grows, also when a slot is scaled away and comes back. Counts that workers tell are added with
//! saturation, since they can be anything.

use std::collections::BTreeMap;

use crate::event::{Event, ExitCause};

/// Of the workers of one slot that have ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    pub(super) served: u64,
    /// Connections that were open in workers when they ended.
    pub(super) lost: u64,
    pub(super) unread: u64,
    /// Workers that were spawned because another had ended.
    pub(super) respawns: u64,
    pub(super) last_exit: Option<ExitCause>,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    by_slot: BTreeMap<usize, Account>,
}

impl Ledger {
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Exited { slot, cause, .. } => self.account(*slot).last_exit = Some(*cause),
            Event::Respawning { slot, .. } => self.account(*slot).respawns += 1,
            _ => {}
        }
    }

    /// A worker has ended, and this is what it left.
    pub(super) fn fold(&mut self, slot: usize, lost: u64, served: u64, unread: u64) {
        let account = self.account(slot);
        account.lost = account.lost.saturating_add(lost);
        account.served = account.served.saturating_add(served);
        account.unread = account.unread.saturating_add(unread);
    }

    pub(super) fn of(&self, slot: usize) -> Account {
        self.by_slot.get(&slot).copied().unwrap_or_default()
    }

    fn account(&mut self, slot: usize) -> &mut Account {
        self.by_slot.entry(slot).or_default()
    }
}
