//! Messages that came and could not be read here: counted, and the first of each name told to the hub.
//!
//! The count is where the master can see it; the names are bounded, as a sender can make them up.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError, atomic::Ordering},
};

use crate::sys::scoreboard::Row;

/// Names that are told.
const NAMES_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Unread {
    row: &'static Row,
    told: Mutex<BTreeSet<Box<str>>>,
}

impl Unread {
    pub(super) fn new(row: &'static Row) -> Self {
        Self { row, told: Mutex::default() }
    }

    /// Counts one. Whether to tell of it.
    pub(super) fn count(&self, name: &str) -> bool {
        self.row.unread.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        !told.contains(name) && told.len() < NAMES_MAX && told.insert(name.into())
    }
}
