//! `Address`: whom a message is for, and from whom it came.
//!
//! A value; whether anybody is there is found out by sending.

use std::fmt;

use super::{Shape, ShapeNode};
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
    /// One of the workers of a service. This version has no services, so nobody has such an address.
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
    /// `None` for a service.
    pub(super) fn place(self) -> Option<Place> {
        match self {
            Self::Master => Some(Place::Master),
            Self::Worker(worker) => Some(Place::Worker(worker)),
            Self::Slot(slot) => Some(Place::Slot(slot as u64)),
            Self::Service(_) => None,
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
