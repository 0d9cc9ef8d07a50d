//! The replies that this process owes: its side of the requests that others have made.
//!
//! So that the hub's word that an asker waits no longer finds whoever is at work on the answer. Holds nothing up:
//! an entry ends with the last copy of its `Return`, and there are as many as requests in mailboxes and in
//! the hands of user code.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::reply::Return;
use crate::mail::Place;

#[derive(Debug, Default)]
pub(super) struct Owed(Mutex<HashMap<(Place, u64), Weak<Return>>>);

impl Owed {
    fn lock(&self) -> MutexGuard<'_, HashMap<(Place, u64), Weak<Return>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, back: &Arc<Return>) {
        self.lock().insert((back.asker, back.request), Arc::downgrade(back));
    }

    /// It is being dropped.
    pub(super) fn forget(&self, back: &Return) {
        let (mut owed, asking) = (self.lock(), (back.asker, back.request));
        // An asker that uses a number again has made another one of it.
        if owed.get(&asking).is_some_and(|kept| std::ptr::eq(kept.as_ptr(), back)) {
            owed.remove(&asking);
        }
    }

    /// The asker waits no longer.
    pub(super) fn abandon(&self, asker: Place, request: u64) {
        let back = self.lock().remove(&(asker, request));
        // Without the lock: it may be the last copy now, and whoever is woken may drop it.
        if let Some(back) = back.and_then(|back| back.upgrade()) {
            back.abandon();
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }
}
