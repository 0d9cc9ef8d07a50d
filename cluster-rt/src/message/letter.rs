//! A message on its way from the lane to a mailbox: its payload, not decoded, and what comes with it.
//!
//! Holds no queue; those are `tray` and `kept`. Of many that differ in their payloads alone there is a `pack`.

use std::{ops::Deref, sync::Arc};

use super::{pack::Pack, reply::Return};
use crate::{
    mail::{DESCRIPTOR_BYTES, Frame, Head, Place},
    sys::passing::Passing,
};

/// What an entry is taken to cost beside its payload, so that the bound is one on their number too.
pub(super) const ENTRY_BYTES: usize = 128;

/// Whose message it is, and of what layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) from: Place,
    pub(super) fingerprint: u64,
    /// Of the sender's code.
    pub(super) generation: u32,
}

impl Origin {
    pub(super) fn of(frame: &Frame<'_>) -> Self {
        let Head { from, fingerprint, generation, .. } = frame.head;
        Self { from, fingerprint, generation }
    }
}

/// A message that came.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) origin: Origin,
    pub(super) payload: Payload,
    pub(super) enclosed: Enclosed,
    /// For a request: the way back, which fails the request when the last copy is dropped.
    pub(super) back: Option<Arc<Return>>,
}

impl Letter {
    /// What it counts for, wherever it waits.
    pub(super) fn cost(&self) -> usize {
        let descriptor = match self.enclosed {
            Enclosed::Descriptor(_) => DESCRIPTOR_BYTES,
            Enclosed::Nothing | Enclosed::Lost => 0,
        };
        self.payload.len() + ENTRY_BYTES + descriptor
    }
}

/// What came with a message.
#[derive(Clone, Debug)]
pub(super) enum Enclosed {
    Nothing,
    Descriptor(Arc<Passing>),
    Lost,
}

/// What waits for a mailbox.
#[derive(Debug)]
pub(super) enum Entry {
    Letter(Letter),
    /// Not empty.
    Pack(Pack),
    /// So many did not get here.
    Missed(u64),
}

impl Entry {
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Letter(letter) => letter.cost(),
            Self::Pack(pack) => pack.cost(),
            Self::Missed(_) => 0,
        }
    }
}

// Else more could wait than the bound says.
const _: () = assert!(size_of::<Entry>() <= ENTRY_BYTES);

/// The longest payload that needs no memory of its own. Memory that one thread allocates and another frees
/// costs more than all else that is done to a short message.
const SHORT_BYTES_MAX: usize = 62;

/// The bytes of a message that came by itself. A long one is shared by the mailboxes that have it.
#[derive(Clone, Debug)]
pub(super) enum Payload {
    Short { length: u8, bytes: [u8; SHORT_BYTES_MAX] },
    Long(Arc<[u8]>),
}

impl From<&[u8]> for Payload {
    fn from(payload: &[u8]) -> Self {
        let mut bytes = [0; SHORT_BYTES_MAX];
        match (u8::try_from(payload.len()), bytes.get_mut(..payload.len())) {
            (Ok(length), Some(short)) => {
                short.copy_from_slice(payload);
                Self::Short { length, bytes }
            }
            _ => Self::Long(payload.into()),
        }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => &bytes[..usize::from(*length)],
            Self::Long(payload) => payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_what_it_was_whatever_its_length() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for length in
            [0, 1, SHORT_BYTES_MAX - 1, SHORT_BYTES_MAX, SHORT_BYTES_MAX + 1, 255, 256, 1000]
        {
            let payload = Payload::from(&bytes[..length]);
            assert_eq!(&*payload, &bytes[..length]);
            assert_eq!(matches!(payload, Payload::Long(_)), length > SHORT_BYTES_MAX);
        }
    }
}
