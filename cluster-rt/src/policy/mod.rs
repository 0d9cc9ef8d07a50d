//! Decisions that need nothing but their arguments: no clock, no I/O, randomness given as a number.

pub(crate) mod backoff;
pub(crate) mod limits;
pub(crate) mod peek;
pub(crate) mod rendezvous;
pub(crate) mod schedule;
