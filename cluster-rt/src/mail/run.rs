//! Frames one after the other that differ in nothing but their payloads: what is decided for the first holds
//! for all of them, so a stream of messages costs little more for each than its bytes.
//!
//! Decodes the first frame and compares the others with it. Invariant: the bytes of a run are whole frames, and
//! the frames of any bytes are the same whether they are read one by one or run by run.

use super::{
    Enclosure, FRAME_BYTES_MAX, Frame, HEAD_BYTES, KIND_AT, Kind, Place, decode,
    pieces::PIECE_BYTES,
};

/// At least one frame; several only if they are messages that nothing goes with, and of [`PIECE_BYTES`] in all at
/// most, so that they go out in one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run<'a> {
    pub(crate) first: Frame<'a>,
    /// All its frames, with their heads.
    pub(crate) bytes: &'a [u8],
    /// How many frames it has.
    pub(crate) count: usize,
}

impl<'a> Run<'a> {
    /// The run at the beginning of `bytes`; `None` if not even its first frame is all there.
    ///
    /// # Errors
    /// Says what is wrong with the first frame.
    pub(crate) fn at_front(bytes: &'a [u8]) -> Result<Option<Self>, String> {
        let Some((first, length)) = decode(bytes)? else { return Ok(None) };
        let run = Self { first, bytes: &bytes[..length], count: 1 };
        // Of a service a message reaches one worker, and the next one another.
        let alone = first.head.kind != Kind::Message
            || first.enclosure != Enclosure::Nothing
            || matches!(first.head.to, Place::Service(_));
        Ok(Some(if alone { run } else { run.extended(bytes) }))
    }

    /// With those of `bytes`, which begin with it, that go on like it.
    fn extended(mut self, bytes: &'a [u8]) -> Self {
        let mut length = self.bytes.len();
        while let Some(total) = self.continues(&bytes[length..]) {
            if length + total > PIECE_BYTES {
                break;
            }
            length += total;
            self.count += 1;
        }
        self.bytes = &bytes[..length];
        self
    }

    /// The length of the frame that `bytes` begin with, if it is whole and like the first.
    fn continues(&self, bytes: &[u8]) -> Option<usize> {
        let total = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        let frame = bytes.get(..total).filter(|_| total <= FRAME_BYTES_MAX)?;
        (frame.get(KIND_AT..self.head_bytes())? == self.head()).then_some(total)
    }

    /// What its frames have in common: everything between the length and the payload.
    pub(crate) fn head(&self) -> &'a [u8] {
        &self.bytes[KIND_AT..self.head_bytes()]
    }

    /// Where the payload of a frame begins.
    pub(crate) fn head_bytes(&self) -> usize {
        HEAD_BYTES + self.first.name.len()
    }

    pub(crate) fn payloads(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (mut rest, head) = (self.bytes, self.head_bytes());
        std::iter::from_fn(move || {
            let (payload, after) = split_payload(rest, head)?;
            rest = after;
            Some(payload)
        })
    }

    /// What it would be if it had been read frame by frame.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn frames(&self) -> impl Iterator<Item = Frame<'a>> + use<'a> {
        let first = self.first;
        self.payloads().map(move |payload| Frame { payload, ..first })
    }
}

/// The payload of the frame that `bytes` begin with, and what follows the frame; `head` is where payloads begin.
pub(crate) fn split_payload(bytes: &[u8], head: usize) -> Option<(&[u8], &[u8])> {
    let total = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let (frame, rest) = bytes.split_at_checked(total)?;
    Some((frame.get(head..)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Head, set_enclosure};

    const HEAD: Head = Head {
        kind: Kind::Message,
        from: Place::Master,
        to: Place::Everyone,
        request: 0,
        fingerprint: 7,
        generation: 1,
    };

    /// How many frames each run has, in bytes that are `frames` one after the other.
    fn counts(frames: &[Vec<u8>]) -> Vec<usize> {
        let (stream, mut at, mut counts) = (frames.concat(), 0, Vec::new());
        while let Some(run) = Run::at_front(&stream[at..]).expect("good bytes") {
            let bytes: Vec<u8> =
                run.frames().flat_map(|f| f.head.encode(f.name, f.payload)).collect();
            assert!(run.first.enclosure != Enclosure::Nothing || bytes == run.bytes);
            at += run.bytes.len();
            counts.push(run.count);
        }
        assert_eq!(at, stream.len());
        counts
    }

    #[test]
    fn messages_are_a_run_as_long_as_only_their_payloads_differ() {
        let plain = |payload: &[u8]| HEAD.encode("News", payload);
        let mut frames = vec![plain(b""), plain(b"long"), plain(b"x"), HEAD.encode("Newt", b"x")];
        frames.push(Head { generation: 2, ..HEAD }.encode("Newt", b"x"));
        frames.push(Head { to: Place::Slot(0), ..HEAD }.encode("Newt", b"x"));
        frames.extend([plain(b"1"), plain(b"2")]);
        assert_eq!(counts(&frames), [3, 1, 1, 1, 2]);
    }

    #[test]
    fn what_has_something_of_its_own_is_no_run() {
        for kind in [Kind::Request, Kind::Reply, Kind::Lagged] {
            assert_eq!(counts(&vec![Head { kind, ..HEAD }.encode("News", b""); 3]), [1, 1, 1]);
        }
        let to = Place::Service(5);
        assert_eq!(counts(&vec![Head { to, ..HEAD }.encode("News", b""); 2]), [1, 1]);
        let mut enclosing = Head { to: Place::Slot(1), ..HEAD }.encode("News", b"");
        set_enclosure(&mut enclosing, Enclosure::Descriptor);
        assert_eq!(counts(&vec![enclosing; 2]), [1, 1]);
    }

    #[test]
    fn a_run_is_bounded_and_of_whole_frames() {
        let frames = vec![HEAD.encode("News", &[0; 1000]); 100];
        assert_eq!(counts(&frames), [66, 34]);
        let large = HEAD.encode("News", &[0; 2 * PIECE_BYTES]);
        assert_eq!(counts(&[large.clone(), large]), [1, 1]);
        let cut = frames.concat();
        let run = Run::at_front(&cut[..cut.len() / 50 - 1]).expect("good bytes").expect("one");
        assert_eq!(run.count, 1);
        // What is wrong with the next frame is said when it is its turn.
        let garbage = [&frames[0][..], &[0xff; 100]].concat();
        assert_eq!(Run::at_front(&garbage).expect("the first is good").expect("one").count, 1);
    }
}
