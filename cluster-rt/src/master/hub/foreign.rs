//! What processes could not read of each other: each message's name is told once.
//!
//! Bounded, since a worker can say anything: names beyond [`NAMES_MAX`] are not told. How many there
//! were is counted on the scoreboard.

use std::{collections::BTreeSet, fmt};

use crate::mail::{Frame, Place};

/// Names that are told, and remembered to have been.
const NAMES_MAX: usize = 256;

/// A message that its receiver could not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::master) struct Unread {
    name: String,
    by: Place,
    /// The generation of the sender and the receiver.
    theirs: u64,
    ours: u32,
    /// The receiver has a type of that name, of another layout.
    known: bool,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, by, theirs, ours, known } = self;
        match by {
            Place::Worker(worker) => write!(f, "worker {worker}")?,
            _ => f.write_str("the master")?,
        }
        write!(f, " (generation {ours}) dropped a message `{name}` of generation {theirs}: ")?;
        f.write_str(match known {
            true => "the layout of the type is another",
            false => "nobody there has subscribed to it, and too many came to be kept",
        })?;
        f.write_str("; this is told once for each message")
    }
}

#[derive(Debug, Default)]
pub(super) struct Foreign {
    names: BTreeSet<Box<str>>,
    /// To be told.
    new: Vec<Unread>,
}

impl Foreign {
    pub(super) fn note(&mut self, by: Place, frame: &Frame<'_>) {
        if self.names.len() >= NAMES_MAX || !self.names.insert(frame.name.into()) {
            return;
        }
        self.new.push(Unread {
            name: frame.name.to_owned(),
            by,
            theirs: frame.head.request,
            ours: frame.head.generation,
            known: frame.payload.is_empty(),
        });
    }

    pub(super) fn take(&mut self) -> Vec<Unread> {
        std::mem::take(&mut self.new)
    }
}
