//! Random frames, queued, written in random pieces and read in others, come out as they went in.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};

use super::{
    Enclosure, Frame, Head, Kind, NAME_BYTES_MAX, Place, decode,
    incoming::Incoming,
    pieces::{PIECE_BYTES, Parcel, Pieces},
};
use crate::id::WorkerId;

fn places() -> impl Strategy<Value = Place> {
    prop_oneof![
        Just(Place::Master),
        any::<u64>().prop_map(|number| Place::Worker(WorkerId(number))),
        any::<u64>().prop_map(Place::Slot),
        Just(Place::Everyone),
        any::<u64>().prop_map(Place::Service),
        any::<u64>().prop_map(Place::Workers),
    ]
}

fn heads() -> impl Strategy<Value = Head> {
    let kinds = prop::sample::select(super::KINDS.to_vec());
    let numbers = any::<(u64, u64, u32)>();
    (kinds, places(), places(), numbers).prop_map(|(kind, from, to, numbers)| {
        let (request, fingerprint, generation) = numbers;
        Head { kind, from, to, request, fingerprint, generation }
    })
}

/// A name and a payload: mostly small ones, some shared, some of several pieces.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => vec(any::<u8>(), 0..200),
        2 => (any::<u8>(), 10_000..150_000_usize).prop_map(|(byte, count)| vec![byte; count]),
    ]
}

fn names() -> impl Strategy<Value = String> {
    "\\PC{0,60}".prop_filter("a name", |name| name.len() <= NAME_BYTES_MAX)
}

fn frames() -> impl Strategy<Value = (Head, String, Vec<u8>)> {
    (heads(), names(), payloads())
}

/// Frames of which many differ from the one before in their payloads alone.
fn streams() -> impl Strategy<Value = Vec<(Head, String, Vec<u8>)>> {
    let messages = heads().prop_map(|head| Head { kind: Kind::Message, ..head });
    (vec((messages, names()), 1..3), vec((any::<prop::sample::Index>(), frames()), 1..12)).prop_map(
        |(common, frames)| {
            let take = |(at, (head, name, payload)): (prop::sample::Index, _)| {
                // One more than there are: a frame of its own.
                let (head, name) =
                    common.get(at.index(common.len() + 1)).cloned().unwrap_or((head, name));
                (head, name, payload)
            };
            frames.into_iter().map(take).collect()
        },
    )
}

/// Sizes of reads or writes, used in turns.
fn steps() -> impl Strategy<Value = Vec<usize>> {
    let sizes = prop_oneof![100..1_000_usize, 1_000..PIECE_BYTES, Just(PIECE_BYTES)];
    vec(sizes, 1..20)
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in(
        frames in streams(),
        writes in steps(),
        reads in steps(),
    ) {
        let (mut pieces, mut stream) = (Pieces::default(), Vec::new());
        for (at, (head, name, payload)) in frames.iter().enumerate() {
            let bytes = head.encode(name, payload);
            stream.extend_from_slice(&bytes);
            match at % 2 {
                0 => pieces.push(&Parcel::of(&bytes)),
                _ => pieces.push(&Parcel::Shared(Arc::new(bytes))),
            }
        }
        prop_assert_eq!(pieces.weight(), stream.len());
        let mut written = Vec::new();
        let mut step = writes.iter().cycle();
        while !pieces.is_empty() {
            let (front, fd) = pieces.front();
            prop_assert!(fd.is_none(), "nothing was enclosed");
            let count = front.len().min(*step.next().expect("a cycle"));
            prop_assert!(count > 0 && front.len() <= PIECE_BYTES);
            written.extend_from_slice(&front[..count]);
            pieces.advance(count);
        }
        prop_assert!(written == stream, "the bytes came out otherwise");
        let came = read(&written, &reads)?;
        prop_assert!(came == frames, "the frames came out otherwise");
    }

    #[test]
    fn a_frame_cut_short_is_not_there_yet(frame in frames(), cut in any::<prop::sample::Index>()) {
        let (head, name, payload) = frame;
        let bytes = head.encode(&name, &payload);
        prop_assert_eq!(decode(&bytes[..cut.index(bytes.len())]), Ok(None));
        let enclosure = Enclosure::Nothing;
        let whole = Frame { head, enclosure, name: &name, payload: &payload };
        prop_assert_eq!(decode(&bytes), Ok(Some((whole, bytes.len()))));
    }
}

fn read(stream: &[u8], steps: &[usize]) -> Result<Vec<(Head, String, Vec<u8>)>, TestCaseError> {
    let (mut incoming, mut came, mut rest) = (Incoming::default(), Vec::new(), stream);
    let mut step = steps.iter().cycle();
    while !rest.is_empty() {
        let most = *step.next().expect("a cycle");
        let filled = incoming.fill(|room| {
            let count = most.min(rest.len()).min(room.len());
            room[..count].copy_from_slice(&rest[..count]);
            Ok::<_, ()>((count, None))
        });
        rest = &rest[filled.expect("no error")..];
        while let Some((run, _)) = incoming.run().map_err(TestCaseError::fail)? {
            let frames = run.frames();
            came.extend(frames.map(|f| (f.head, f.name.to_owned(), f.payload.to_vec())));
            let count = run.bytes.len();
            incoming.consume(count);
        }
    }
    Ok(came)
}
