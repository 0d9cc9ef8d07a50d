//! The frames that user messages travel in on the mail lane: their layout, encoding, decoding.
//!
//! Does no I/O and knows no message type: a payload is bytes. Decoding never panics and never
//! allocates; a frame that declares more than [`MESSAGE_BYTES_MAX`] is refused as soon as its length is
//! seen. [`incoming`] cuts bytes into frames, [`pieces`] queues frames, [`patience`] decides for whom others
//! wait.

pub(crate) mod incoming;
pub(crate) mod patience;
pub(crate) mod pieces;
#[cfg(test)]
mod random_tests;

use crate::id::WorkerId;

/// The longest payload of a message.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The longest name of a message: its length is one byte.
pub(crate) const NAME_BYTES_MAX: usize = u8::MAX as usize;

/// How much waits for one receiver, be it a process or a mailbox, before it is full.
pub(crate) const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a descriptor counts for beside its frame, wherever it waits: so there are at most 64 in a place
/// that is full at [`WAITING_BYTES_MAX`].
pub(crate) const DESCRIPTOR_BYTES: usize = WAITING_BYTES_MAX / 64;

/// What one process may have asked and not yet heard of; a bound on the master's table.
pub(crate) const OPEN_REQUESTS_MAX: usize = 16 * 1024;

/// Length, kind, enclosure, two places, request, fingerprint, generation, length of the name.
const HEAD_BYTES: usize = 4 + 1 + 1 + 9 + 9 + 8 + 8 + 4 + 1;
const FRAME_BYTES_MAX: usize = HEAD_BYTES + NAME_BYTES_MAX + MESSAGE_BYTES_MAX;

/// What is at either end of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    Master,
    Worker(WorkerId),
    /// The newest ready worker of the slot.
    Slot(u64),
    /// Every process but the sender.
    Everyone,
    /// One worker of a service, in turn. By the hash of its name, which every generation knows alike.
    Service(u64),
    /// Every worker of a service but the sender.
    Workers(u64),
}

impl Place {
    /// Whether it may be several processes, or none.
    pub(crate) fn is_many(self) -> bool {
        matches!(self, Self::Everyone | Self::Workers(_))
    }
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Message,
    /// A message that is to be answered.
    Request,
    Reply,
    /// There will be no reply; the payload is a [`Failure`].
    Failed,
    /// To the hub: the asker waits no longer.
    Abandoned,
    /// Messages of this name were dropped; the field `request` says how many.
    Lagged,
    /// To the hub: a message of this name could not be read, from the generation in the field `request`;
    /// a payload says that no type of that name is known.
    Foreign,
    /// From the hub: the sender has ended.
    Ended,
}

/// What comes with a message beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enclosure {
    Nothing,
    /// A descriptor, which rides on the frame's first byte.
    Descriptor,
    /// There was a descriptor, and a process on the way could not take it or pass it on.
    Lost,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody has the address, or who had it has died.
    Gone,
    /// It was dropped without an answer.
    Unanswered,
    /// A receiver that did not keep up: the request or its answer was dropped.
    Dropped,
    /// The asker has too many open.
    TooMany,
}

impl Failure {
    pub(crate) fn of_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Gone,
            2 => Self::Dropped,
            3 => Self::TooMany,
            _ => Self::Unanswered,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Gone => 0,
            Self::Unanswered => 1,
            Self::Dropped => 2,
            Self::TooMany => 3,
        }
    }
}

/// What a frame says beside name and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) from: Place,
    pub(crate) to: Place,
    /// Tells the requests of one asker apart; 0 where there is none.
    pub(crate) request: u64,
    pub(crate) fingerprint: u64,
    /// Of the sender's code.
    pub(crate) generation: u32,
}

/// A frame as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) head: Head,
    pub(crate) enclosure: Enclosure,
    pub(crate) name: &'a str,
    pub(crate) payload: &'a [u8],
}

impl Head {
    /// The bytes of a frame up to its payload, which `end` follows; `name` is cut to what a frame can
    /// hold, so whoever encodes a user's message checks it first.
    pub(crate) fn begin(&self, name: &str) -> Vec<u8> {
        let name = &name.as_bytes()[..name.len().min(NAME_BYTES_MAX)];
        let mut bytes = Vec::with_capacity(HEAD_BYTES + name.len() + 64);
        bytes.extend([0; 4]);
        bytes.extend([kind_byte(self.kind), 0]);
        for place in [self.from, self.to] {
            let (tag, number) = place_bytes(place);
            bytes.push(tag);
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.request.to_le_bytes());
        bytes.extend(self.fingerprint.to_le_bytes());
        bytes.extend(self.generation.to_le_bytes());
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend(name);
        bytes
    }

    /// A frame whose payload is at hand.
    pub(crate) fn encode(&self, name: &str, payload: &[u8]) -> Vec<u8> {
        let mut bytes = self.begin(name);
        bytes.extend(payload);
        end(&mut bytes);
        bytes
    }

    /// That the request will not be answered.
    pub(crate) fn failed(from: Place, to: Place, request: u64, failure: Failure) -> Vec<u8> {
        let head = Self { kind: Kind::Failed, from, to, request, fingerprint: 0, generation: 0 };
        head.encode("", &[failure.byte()])
    }

    /// That a worker has ended.
    pub(crate) fn ended(worker: WorkerId, to: Place) -> Vec<u8> {
        let (kind, from) = (Kind::Ended, Place::Worker(worker));
        Self { kind, from, to, request: 0, fingerprint: 0, generation: 0 }.encode("", &[])
    }

    /// That `me`, of generation `ours`, could not read a message called `name` of generation `theirs`;
    /// `known` if only its layout is another.
    pub(crate) fn foreign(me: Place, name: &str, theirs: u32, ours: u32, known: bool) -> Vec<u8> {
        let (kind, to) = (Kind::Foreign, Place::Master);
        let request = theirs.into();
        let head = Self { kind, from: me, to, request, fingerprint: 0, generation: ours };
        head.encode(name, if known { &[] } else { &[1] })
    }

    /// That `count` messages called `name` were dropped.
    pub(crate) fn lagged(to: Place, name: &str, count: u64) -> Vec<u8> {
        let (kind, from) = (Kind::Lagged, Place::Master);
        Self { kind, from, to, request: count, fingerprint: 0, generation: 0 }.encode(name, &[])
    }
}

/// Completes a frame: its length is known now.
pub(crate) fn end(bytes: &mut [u8]) {
    let total = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&total.to_le_bytes());
}

/// Says in an encoded frame what comes with it.
pub(crate) fn set_enclosure(bytes: &mut [u8], enclosure: Enclosure) {
    const AT: usize = 4 + 1;
    bytes[AT] = match enclosure {
        Enclosure::Nothing => 0,
        Enclosure::Descriptor => 1,
        Enclosure::Lost => 2,
    };
}

/// Gives an encoded frame the number of its request.
pub(crate) fn set_request(bytes: &mut [u8], request: u64) {
    const AT: usize = 4 + 1 + 1 + 9 + 9;
    bytes[AT..AT + 8].copy_from_slice(&request.to_le_bytes());
}

/// The frame at the beginning of `bytes` and its length; `None` if it is not all there.
///
/// # Errors
/// Says what is wrong with the bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, String> {
    let Some(total) = bytes.first_chunk() else { return Ok(None) };
    let total = u32::from_le_bytes(*total) as usize;
    if !(HEAD_BYTES..=FRAME_BYTES_MAX).contains(&total) {
        return Err(format!("a frame of {total} bytes"));
    }
    let Some(frame) = bytes.get(..total) else { return Ok(None) };
    // Everything from here on is within `frame`, which has at least HEAD_BYTES.
    let mut rest = Rest(&frame[4..]);
    let kind = rest.byte();
    let kind = kind_of(kind).ok_or_else(|| format!("a frame of kind {kind}"))?;
    let enclosure = match rest.byte() {
        0 => Enclosure::Nothing,
        1 => Enclosure::Descriptor,
        2 => Enclosure::Lost,
        other => return Err(format!("a frame with an enclosure of kind {other}")),
    };
    let (from, to) = (rest.place()?, rest.place()?);
    if enclosure != Enclosure::Nothing && (kind != Kind::Message || to.is_many()) {
        return Err("a descriptor with what cannot have one".to_owned());
    }
    let (request, fingerprint) = (rest.u64(), rest.u64());
    let generation = u32::from_le_bytes(rest.array());
    let length = usize::from(rest.byte());
    let (name, payload) = rest
        .0
        .split_at_checked(length)
        .ok_or_else(|| format!("a name of {length} bytes in a frame of {total}"))?;
    let name = std::str::from_utf8(name).map_err(|_| "a name that is no UTF-8".to_owned())?;
    let head = Head { kind, from, to, request, fingerprint, generation };
    Ok(Some((Frame { head, enclosure, name, payload }, total)))
}

/// The part of a frame's head that is not decoded yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    /// The next bytes; zeros past the end, which `decode` has excluded.
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (array, rest) = self.0.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *array
    }

    fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    fn place(&mut self) -> Result<Place, String> {
        let (tag, number) = (self.byte(), self.u64());
        match (tag, number) {
            (0, 0) => Ok(Place::Master),
            (1, _) => Ok(Place::Worker(WorkerId(number))),
            (2, _) => Ok(Place::Slot(number)),
            (3, 0) => Ok(Place::Everyone),
            (4, _) => Ok(Place::Service(number)),
            (5, _) => Ok(Place::Workers(number)),
            _ => Err(format!("an address of kind {tag} with number {number}")),
        }
    }
}

fn place_bytes(place: Place) -> (u8, u64) {
    match place {
        Place::Master => (0, 0),
        Place::Worker(worker) => (1, worker.0),
        Place::Slot(slot) => (2, slot),
        Place::Everyone => (3, 0),
        Place::Service(service) => (4, service),
        Place::Workers(service) => (5, service),
    }
}

const KINDS: [Kind; 8] = [
    Kind::Message,
    Kind::Request,
    Kind::Reply,
    Kind::Failed,
    Kind::Abandoned,
    Kind::Lagged,
    Kind::Foreign,
    Kind::Ended,
];

fn kind_of(byte: u8) -> Option<Kind> {
    KINDS.get(usize::from(byte)).copied()
}

fn kind_byte(kind: Kind) -> u8 {
    // The position in `KINDS`, of which the test of the round trip makes sure.
    kind as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: Kind) -> Head {
        let (from, to) = (Place::Worker(WorkerId(7)), Place::Slot(3));
        Head { kind, from, to, request: 11, fingerprint: u64::MAX - 5, generation: 2 }
    }

    #[test]
    fn frames_survive_the_round_trip() {
        for kind in KINDS {
            for payload in [&b""[..], b"bytes"] {
                let mut bytes = head(kind).encode("shop::News", payload);
                let length = bytes.len();
                bytes.extend(b"the next frame");
                let (frame, total) = decode(&bytes).expect("a frame").expect("all of it");
                assert_eq!((frame.head, frame.name), (head(kind), "shop::News"));
                assert_eq!((frame.payload, total), (payload, length));
            }
        }
    }

    #[test]
    fn a_cut_frame_is_not_there_yet() {
        let bytes = head(Kind::Request).encode("shop::News", b"payload");
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), Ok(None), "cut at {end}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_at_once() {
        for total in [0, HEAD_BYTES - 1, FRAME_BYTES_MAX + 1, u32::MAX as usize] {
            let bytes = u32::try_from(total).expect("a length").to_le_bytes();
            assert!(decode(&bytes).is_err(), "{total}");
        }
        let mut bytes = head(Kind::Message).encode("", b"");
        bytes[HEAD_BYTES - 1] = 1;
        assert!(decode(&bytes).is_err(), "a name beyond the end");
    }

    #[test]
    fn an_enclosure_is_of_a_message_to_one() {
        for kind in KINDS {
            let mut bytes = head(kind).encode("shop::News", b"");
            set_enclosure(&mut bytes, Enclosure::Descriptor);
            assert_eq!(decode(&bytes).is_ok(), kind == Kind::Message, "{kind:?}");
        }
        for to in [Place::Everyone, Place::Workers(1)] {
            let mut bytes = Head { to, ..head(Kind::Message) }.encode("shop::News", b"");
            set_enclosure(&mut bytes, Enclosure::Descriptor);
            assert!(decode(&bytes).is_err(), "{to:?}");
        }
    }

    #[test]
    fn unknown_kinds_enclosures_and_places_are_refused() {
        for (at, byte) in [(4, 8), (5, 3), (6, 0), (6, 6), (15, 9)] {
            let mut bytes = head(Kind::Message).encode("shop::News", b"");
            bytes[at] = byte;
            assert!(decode(&bytes).is_err(), "byte {at}");
        }
    }
}
