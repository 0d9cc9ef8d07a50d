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
    /// By service and slot: a slot may become another service's.
    by_slot: BTreeMap<(Option<&'static str>, usize), Account>,
}

impl Ledger {
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Exited { slot, service, cause, .. } => {
                self.account((*service, *slot)).last_exit = Some(*cause);
            }
            Event::Respawning { slot, service, .. } => {
                self.account((*service, *slot)).respawns += 1
            }
            _ => {}
        }
    }

    /// A worker of this service and slot has ended, and this is what it left.
    pub(super) fn fold(
        &mut self,
        of: (Option<&'static str>, usize),
        lost: u64,
        served: u64,
        unread: u64,
    ) {
        let account = self.account(of);
        account.lost = account.lost.saturating_add(lost);
        account.served = account.served.saturating_add(served);
        account.unread = account.unread.saturating_add(unread);
    }

    pub(super) fn of(&self, service: Option<&'static str>, slot: usize) -> Account {
        self.by_slot.get(&(service, slot)).copied().unwrap_or_default()
    }

    fn account(&mut self, of: (Option<&'static str>, usize)) -> &mut Account {
        self.by_slot.entry(of).or_default()
    }
}
