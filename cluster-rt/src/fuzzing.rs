//! The decoders as functions of arbitrary bytes, for the fuzz targets and for the test of their corpus.
//!
//! There only in unit tests and under cargo-fuzz. Each function panics if a decoder panics, reads what it wrote
//! otherwise than it was, or holds more memory than its bytes can account for.

use std::{collections::VecDeque, fmt::Debug};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    config::{Config, DURATION_MAX, SURPLUS_MAX, ServiceConfig, WORKERS_MAX},
    endpoint::Peek,
    mail::{incoming::Incoming, pieces::PIECE_BYTES, set_enclosure},
    message::{self, specimen::Specimen},
    policy::{self, peek::Seen},
    process::fork::frames::next_frame,
    sys::allocations::most_held,
    wire::{self, FromWorker, FromZygote, ToWorker, ToZygote, address},
    zygote::Handover,
};

/// What an error text, or one small collection, may take beside what the bytes account for.
const SMALL: usize = 4096;

/// A packet of a link, as each of the four ends would read it.
pub fn link(bytes: &[u8]) {
    frame::<ToZygote>(bytes);
    frame::<FromZygote>(bytes);
    frame::<ToWorker>(bytes);
    frame::<FromWorker>(bytes);
}

fn frame<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) {
    // A split may be three bytes and becomes 40; of a list, as many are expected as there are bytes left.
    let most = 64 * bytes.len() + SMALL;
    let (frame, held) = most_held(|| wire::decode::<T>(bytes));
    assert!(held <= most, "{held} bytes for a packet of {}", bytes.len());
    let Ok(frame) = frame else { return };
    let written = wire::encode(&frame).expect("what fitted into a packet still does");
    let again: T = wire::decode(&written).expect("what was written can be read");
    assert_eq!(format!("{frame:?}"), format!("{again:?}"));
}

/// Bytes of a mail lane; the first one says in which pieces they come.
pub fn mail(bytes: &[u8]) {
    let Some((&step, stream)) = bytes.split_first() else { return };
    let whole = mail_in_pieces(stream, stream.len().max(1));
    let pieces = mail_in_pieces(stream, usize::from(step) + 1);
    assert_eq!(whole, pieces, "the borders of reads changed what was read");
}

/// The frames that came and, at the end, what was wrong.
fn mail_in_pieces(stream: &[u8], step: usize) -> Vec<String> {
    let (mut incoming, mut told) = (Incoming::default(), Vec::new());
    for piece in stream.chunks(step.min(PIECE_BYTES)) {
        let (filled, held) = most_held(|| {
            incoming.fill(|room| {
                room[..piece.len()].copy_from_slice(piece);
                Ok::<_, ()>((piece.len(), None))
            })
        });
        assert_eq!(filled, Ok(piece.len()));
        assert!(held <= 2 * stream.len() + 2 * PIECE_BYTES, "{held} bytes for {}", stream.len());
        loop {
            match incoming.run() {
                Ok(None) => break,
                Ok(Some((run, _))) => {
                    let mut again = Vec::new();
                    for frame in run.frames() {
                        let mut written = frame.head.encode(frame.name, frame.payload);
                        set_enclosure(&mut written, frame.enclosure);
                        again.extend(written);
                        told.push(format!("{frame:?}"));
                    }
                    assert!(again == run.bytes, "frames are written otherwise than they were read");
                    let count = run.bytes.len();
                    incoming.consume(count);
                }
                // Whoever sent it is read no more.
                Err(what) => {
                    told.push(what);
                    return told;
                }
            }
        }
    }
    told
}

/// Bytes of the channel of a forked child; the first one says in which pieces they come.
pub fn channel(bytes: &[u8]) {
    let Some((&step, stream)) = bytes.split_first() else { return };
    let whole = channel_in_pieces(stream, stream.len().max(1));
    let pieces = channel_in_pieces(stream, usize::from(step) + 1);
    assert_eq!(whole, pieces, "the borders of reads changed what was read");
}

fn channel_in_pieces(stream: &[u8], step: usize) -> Vec<String> {
    let (mut bytes, mut fds, mut told) = (Vec::<u8>::new(), VecDeque::new(), Vec::new());
    for piece in stream.chunks(step) {
        bytes.extend_from_slice(piece);
        loop {
            let (cut, held) = most_held(|| next_frame(&bytes, &mut fds));
            assert!(held <= bytes.len() + SMALL, "{held} bytes");
            match cut {
                Ok(None) => break,
                Ok(Some(cut)) => {
                    assert_eq!(cut.payload.capacity(), cut.payload.len());
                    bytes.drain(..cut.length);
                    told.push(format!("{cut:?}"));
                }
                Err(what) => {
                    told.push(what);
                    return told;
                }
            }
        }
    }
    told
}

/// What a zygote is handed by variable, and a worker with a connection.
pub fn handover(bytes: &[u8]) {
    if let Ok(peer) = bytes.try_into() {
        let peer = address::from_bytes(peer);
        assert_eq!(address::from_bytes(address::to_bytes(peer)), peer);
    }
    let text = String::from_utf8_lossy(bytes);
    let Ok(handover) = Handover::decode(&text) else { return };
    let variable = handover.encode();
    let (_, value) = variable.split_once('=').expect("a name and a value");
    assert_eq!(Handover::decode(value), Ok(handover));
}

/// Lines of `NAME=VALUE` for the environment, of a cluster that has a service.
pub fn environment(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let variables: Vec<(&str, &str)> =
        text.lines().filter_map(|line| line.split_once('=')).collect();
    let mut config = Config::default();
    let mut overrides = config.override_from(variables.iter().copied());
    within_bounds(&config);
    let mut service = ServiceConfig { name: Some("web"), ..ServiceConfig::only(config, 1) };
    for (name, value) in variables {
        if overrides.unknown.iter().any(|unknown| unknown == name) {
            overrides.bad.extend(service.set(name, value).err());
        }
    }
    for bad in &overrides.bad {
        assert!(bad.to_string().contains("allowed: "), "{bad}");
    }
    assert!((1..=WORKERS_MAX).contains(&service.workers));
    within_bounds(&service.rules);
}

fn within_bounds(config: &Config) {
    assert!(config.workers.is_none_or(|workers| workers <= WORKERS_MAX));
    assert!((1..=SURPLUS_MAX).contains(&config.surplus) && config.give_up > 0);
    assert!(!config.backoff.first.is_zero() && config.backoff.first <= config.backoff.longest);
    assert!((0.0..=1.0).contains(&config.recycle.jitter));
    let durations = [config.grace, config.stop_delay, config.start_timeout, config.backoff.longest];
    let more = [config.hang_timeout, config.recycle.age].into_iter().flatten();
    assert!(durations.into_iter().chain(more).all(|duration| duration <= DURATION_MAX));
}

/// The first bytes of a connection, of which the first one says how many come at first.
pub fn peek(bytes: &[u8]) {
    let Some((&count, bytes)) = bytes.split_first() else { return };
    let first = &bytes[..bytes.len().min(count.into())];
    for peek in [Peek::Host, Peek::ServerName, Peek::Proxy, Peek::Line] {
        let (said, held) = most_held(|| policy::peek::look(peek, first));
        // A vector may have twice the room that it needs, and a key is a copy.
        assert!(held <= 4 * first.len() + SMALL, "{held} bytes for {} of {peek:?}", first.len());
        if said != Seen::More {
            assert_eq!(said, policy::peek::look(peek, bytes), "{peek:?} changed its mind");
        }
    }
}

/// The payload of a message that has every type of std, nested and recursive ones.
pub fn message(bytes: &[u8]) {
    // What one byte can become is a matter of the message's type, here of its widest element; what a map
    // makes room for before it has read anything is bounded by serde, at a mebibyte.
    let most = 64 * bytes.len() + 4 * 1024 * 1024;
    let (specimen, held) = most_held(|| message::decode::<Specimen>(bytes));
    assert!(held <= most, "{held} bytes for a message of {}", bytes.len());
    let Ok(specimen) = specimen else { return };
    let written = postcard::to_stdvec(&specimen).expect("what was read can be written");
    let again = message::decode::<Specimen>(&written).expect("what was written can be read");
    // Not its bytes: the order of a hash map's is another one each time.
    assert_eq!(postcard::to_stdvec(&again).map(|bytes| bytes.len()), Ok(written.len()));
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    fn path(target: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
    }

    /// The files of a target's corpus.
    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let folder = path(target);
        let entries = fs::read_dir(&folder).expect("a corpus");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        assert!(!files.is_empty(), "nothing in {}", folder.display());
        files.sort();
        let read = |file: &PathBuf| {
            println!("{}", file.display());
            fs::read(file).expect("a file")
        };
        files.iter().map(read).collect()
    }

    fn feed(target: &str, function: fn(&[u8])) {
        for bytes in corpus(target) {
            function(&bytes);
        }
    }

    #[test]
    fn the_corpus_of_every_target_is_fine() {
        feed("channel", channel);
        feed("environment", environment);
        feed("handover", handover);
        feed("link", link);
        feed("mail", mail);
        feed("message", message);
        feed("peek", peek);
    }

    /// Else all of a corpus might be refused at the first byte, as after a change of the protocol.
    #[test]
    fn what_is_good_in_a_corpus_is_read() {
        fn is_read<T: DeserializeOwned>(file: &str) {
            let frame = wire::decode::<T>(&fs::read(path("link").join(file)).expect("a file"));
            assert!(frame.is_ok(), "{file}: {:?}", frame.err());
        }
        is_read::<ToZygote>("begin_with_three_groups");
        is_read::<FromZygote>("zygote_refuses_with_a_reason");
        is_read::<ToWorker>("worker_goes_with_a_service");
        is_read::<ToWorker>("worker_is_bound");
        is_read::<ToWorker>("bind_was_refused");
        for file in [
            "worker_says_hello",
            "worker_binds_on_a_scoped_ipv6",
            "worker_binds_a_path",
            "worker_binds_what_was_inherited",
            "worker_ended_in_a_panic",
        ] {
            is_read::<FromWorker>(file);
        }
        let handover = fs::read_to_string(path("handover").join("good")).expect("a file");
        assert!(Handover::decode(&handover).is_ok(), "{handover}");
        for file in ["texts", "sets_and_maps", "tree_of_every_form"] {
            let message = fs::read(path("message").join(file)).expect("a file");
            assert!(message::decode::<Specimen>(&message).is_ok(), "{file}");
        }
        // An error would be the one that is told last.
        type Reader = fn(&[u8], usize) -> Vec<String>;
        let readers: [(&str, &str, Reader, usize); 3] = [
            ("mail", "request_and_reply", mail_in_pieces, 2),
            ("mail", "three_messages_in_pieces_of_seven", mail_in_pieces, 3),
            ("channel", "three_frames_in_pieces_of_five", channel_in_pieces, 3),
        ];
        for (target, file, read, count) in readers {
            let bytes = fs::read(path(target).join(file)).expect("a file");
            let told = read(&bytes[1..], bytes.len());
            let frames = told.iter().filter(|frame| frame.contains('{')).count();
            assert_eq!((told.len(), frames), (count, count), "{file}: {told:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_fine(bytes in vec(any::<u8>(), 0..600)) {
            for function in [channel, environment, handover, link, mail, message, peek] {
                function(&bytes);
            }
        }
    }

    /// Gives `function` what is in the corpus with a few bytes changed, and cut somewhere.
    fn damaged(target: &str, function: fn(&[u8])) {
        let corpus = corpus(target);
        let bytes = vec(any::<(Index, u8)>(), 1..6);
        proptest!(|(file in any::<Index>(), bytes in bytes, end in any::<Index>())| {
            let mut damaged = file.get(&corpus).clone();
            for (at, byte) in bytes {
                if !damaged.is_empty() {
                    *at.get_mut(&mut damaged) = byte;
                }
            }
            function(&damaged);
            damaged.truncate(end.index(damaged.len() + 1));
            function(&damaged);
        });
    }

    #[test]
    fn damaged_frames_are_fine() {
        damaged("channel", channel);
        damaged("link", link);
        damaged("mail", mail);
        damaged("peek", peek);
    }

    #[test]
    fn damaged_messages_are_fine() {
        damaged("message", message);
    }

    #[test]
    fn damaged_texts_are_fine() {
        damaged("environment", environment);
        damaged("handover", handover);
    }
}
