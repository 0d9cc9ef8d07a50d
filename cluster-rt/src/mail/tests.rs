//! Tests of single frames: what comes back, what is cut, what is refused.

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
    for (at, byte) in [(4, 9), (5, 3), (6, 0), (6, 6), (15, 9)] {
        let mut bytes = head(Kind::Message).encode("shop::News", b"");
        bytes[at] = byte;
        assert!(decode(&bytes).is_err(), "byte {at}");
    }
}
