//! `Address`: whom a message is for, and from whom it came.
//!
//! A value; whether anybody is there is found out by sending.

use std::fmt;

use super::{Shape, ShapeNode, shape::hash};
use crate::{id::WorkerId, mail::Place};

/// So that messages can speak of workers.
impl Shape for WorkerId {
    fn shape() -> ShapeNode {
        ShapeNode::of::<Self>("cluster::WorkerId", 0, &[])
    }
}

/// Whom a message is for, or from whom it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// The master process.
    Master,
    /// One worker. After its end the address is nobody's.
    Worker(WorkerId),
    /// The newest ready worker of a slot.
    Slot(usize),
    /// One of the ready workers of a service; the sender may be one. In a cluster that names no services
    /// every worker is of `"main"`.
    ///
    /// A message goes to each in turn. A request goes to the one that has the fewest requests, from
    /// whomever, that it has neither answered nor dropped, and in turn among equals: a worker with a long
    /// job gets no other while another is idle. A request counts even if its asker waits no longer, since
    /// the worker may be at work on it. One that drains is chosen only if there is no other.
    Service(&'static str),
}

impl From<WorkerId> for Address {
    fn from(worker: WorkerId) -> Self {
        Self::Worker(worker)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("the master"),
            Self::Worker(worker) => write!(f, "worker {worker}"),
            Self::Slot(slot) => write!(f, "slot {slot}"),
            Self::Service(name) => write!(f, "service {name:?}"),
        }
    }
}

impl Address {
    pub(super) fn place(self) -> Place {
        match self {
            Self::Master => Place::Master,
            Self::Worker(worker) => Place::Worker(worker),
            Self::Slot(slot) => Place::Slot(slot as u64),
            Self::Service(name) => Place::Service(hash(name)),
        }
    }

    /// Of a sender, which is a process.
    pub(super) fn of_sender(place: Place) -> Self {
        match place {
            Place::Worker(worker) => Self::Worker(worker),
            _ => Self::Master,
        }
    }
}

/// The service of every worker of a cluster that names none: that of its function `main`.
pub(crate) const MAIN_SERVICE: u64 = hash("main");

/// What a service is called in frames; without a name it is that of `main`.
pub(crate) const fn service_hash(name: Option<&str>) -> u64 {
    match name {
        Some(name) => hash(name),
        None => MAIN_SERVICE,
    }
}

/// Why nobody is a worker of another service.
pub(crate) const NO_SERVICE: &str = "there is no such service";
