//! The frames that user messages travel in on the mail lane: their layout, encoding, decoding.
//!
//! Does no I/O and knows no message type: a payload is bytes. Decoding never panics and never
//! allocates; a frame that declares more than [`MESSAGE_BYTES_MAX`] is refused as soon as its length is
//! seen. [`incoming`] cuts bytes into frames, [`run`] takes those together that are alike, [`pieces`] queues
//! frames, [`patience`] decides for whom others wait.

pub(crate) mod incoming;
pub(crate) mod patience;
pub(crate) mod pieces;
#[cfg(test)]
mod random_tests;
pub(crate) mod run;
#[cfg(test)]
mod tests;

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

// Where each part of a frame's head is; the length of the whole frame comes first.
const KIND_AT: usize = 4;
const ENCLOSURE_AT: usize = KIND_AT + 1;
const FROM_AT: usize = ENCLOSURE_AT + 1;
const TO_AT: usize = FROM_AT + PLACE_BYTES;
const REQUEST_AT: usize = TO_AT + PLACE_BYTES;
const FINGERPRINT_AT: usize = REQUEST_AT + 8;
const GENERATION_AT: usize = FINGERPRINT_AT + 8;
const NAME_LENGTH_AT: usize = GENERATION_AT + 4;
const HEAD_BYTES: usize = NAME_LENGTH_AT + 1;

/// What kind of place, and its number.
const PLACE_BYTES: usize = 1 + 8;

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
    /// One worker of a service. By the hash of its name, which every generation knows alike.
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
    /// To the hub, and from there to who is to answer: the asker waits no longer.
    Abandoned,
    /// Messages of this name were dropped; the field `request` says how many.
    Lagged,
    /// To the hub: a message of this name could not be read, from the generation in the field `request`;
    /// a payload says that no type of that name is known.
    Foreign,
    /// From the hub: the sender has ended.
    Ended,
    /// To the asker: nobody there had subscribed to the request when it came, so it is kept.
    Unheard,
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
    /// Nobody has subscribed to it at the master, and nobody will: it has no branch.
    NoBranch,
}

impl Failure {
    pub(crate) fn of_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Gone,
            2 => Self::Dropped,
            3 => Self::TooMany,
            4 => Self::NoBranch,
            _ => Self::Unanswered,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Gone => 0,
            Self::Unanswered => 1,
            Self::Dropped => 2,
            Self::TooMany => 3,
            Self::NoBranch => 4,
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
        let mut head = [0; HEAD_BYTES];
        head[KIND_AT] = kind_byte(self.kind);
        for (at, place) in [(FROM_AT, self.from), (TO_AT, self.to)] {
            let (tag, number) = place_bytes(place);
            head[at] = tag;
            set(&mut head, at + 1, number.to_le_bytes());
        }
        set(&mut head, REQUEST_AT, self.request.to_le_bytes());
        set(&mut head, FINGERPRINT_AT, self.fingerprint.to_le_bytes());
        set(&mut head, GENERATION_AT, self.generation.to_le_bytes());
        head[NAME_LENGTH_AT] = u8::try_from(name.len()).unwrap_or(u8::MAX);
        let mut bytes = Vec::with_capacity(HEAD_BYTES + name.len() + 64);
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(name);
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

    /// That the asker waits no longer.
    pub(crate) fn abandoned(from: Place, to: Place, request: u64) -> Vec<u8> {
        let kind = Kind::Abandoned;
        Self { kind, from, to, request, fingerprint: 0, generation: 0 }.encode("", &[])
    }

    /// That the request is kept until somebody subscribes to it.
    pub(crate) fn unheard(from: Place, to: Place, request: u64) -> Vec<u8> {
        let kind = Kind::Unheard;
        Self { kind, from, to, request, fingerprint: 0, generation: 0 }.encode("", &[])
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

fn set<const N: usize>(head: &mut [u8], at: usize, bytes: [u8; N]) {
    head[at..at + N].copy_from_slice(&bytes);
}

/// Completes a frame: its length is known now.
pub(crate) fn end(bytes: &mut [u8]) {
    let total = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    set(bytes, 0, total.to_le_bytes());
}

/// Says in an encoded frame what comes with it.
pub(crate) fn set_enclosure(bytes: &mut [u8], enclosure: Enclosure) {
    bytes[ENCLOSURE_AT] = match enclosure {
        Enclosure::Nothing => 0,
        Enclosure::Descriptor => 1,
        Enclosure::Lost => 2,
    };
}

/// Gives an encoded frame the number of its request.
pub(crate) fn set_request(bytes: &mut [u8], request: u64) {
    set(bytes, REQUEST_AT, request.to_le_bytes());
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
    // There are so many bytes: `total` was looked at.
    let Some((head, rest)) = frame.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let kind = kind_of(head[KIND_AT]).ok_or_else(|| unknown("kind", head[KIND_AT]))?;
    let enclosure = match head[ENCLOSURE_AT] {
        0 => Enclosure::Nothing,
        1 => Enclosure::Descriptor,
        2 => Enclosure::Lost,
        other => return Err(unknown("enclosure", other)),
    };
    let from = place_of(head[FROM_AT], number(head, FROM_AT + 1))?;
    let to = place_of(head[TO_AT], number(head, TO_AT + 1))?;
    if enclosure != Enclosure::Nothing && (kind != Kind::Message || to.is_many()) {
        return Err("a descriptor with what cannot have one".to_owned());
    }
    let (name, payload) = rest
        .split_at_checked(usize::from(head[NAME_LENGTH_AT]))
        .ok_or_else(|| format!("a name of {} bytes in a frame of {total}", head[NAME_LENGTH_AT]))?;
    let name = std::str::from_utf8(name).map_err(|_| "a name that is no UTF-8".to_owned())?;
    let (request, fingerprint) = (number(head, REQUEST_AT), number(head, FINGERPRINT_AT));
    let generation = u32::from_le_bytes(array(head, GENERATION_AT));
    let head = Head { kind, from, to, request, fingerprint, generation };
    Ok(Some((Frame { head, enclosure, name, payload }, total)))
}

#[cold]
fn unknown(what: &str, byte: u8) -> String {
    format!("a frame of {what} {byte}")
}

/// Bytes of a head, each at a place that is in it.
#[inline]
fn array<const N: usize>(head: &[u8; HEAD_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|n| head[at + n])
}

#[inline]
fn number(head: &[u8; HEAD_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(array(head, at))
}

#[inline]
fn place_of(tag: u8, number: u64) -> Result<Place, String> {
    match (tag, number) {
        (0, 0) => Ok(Place::Master),
        (1, _) => Ok(Place::Worker(WorkerId(number))),
        (2, _) => Ok(Place::Slot(number)),
        (3, 0) => Ok(Place::Everyone),
        (4, _) => Ok(Place::Service(number)),
        (5, _) => Ok(Place::Workers(number)),
        _ => Err(no_place(tag, number)),
    }
}

#[cold]
fn no_place(tag: u8, number: u64) -> String {
    format!("an address of kind {tag} with number {number}")
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

const KINDS: [Kind; 9] = [
    Kind::Message,
    Kind::Request,
    Kind::Reply,
    Kind::Failed,
    Kind::Abandoned,
    Kind::Lagged,
    Kind::Foreign,
    Kind::Ended,
    Kind::Unheard,
];

fn kind_of(byte: u8) -> Option<Kind> {
    KINDS.get(usize::from(byte)).copied()
}

fn kind_byte(kind: Kind) -> u8 {
    // The position in `KINDS`, of which the test of the round trip makes sure.
    kind as u8
}
