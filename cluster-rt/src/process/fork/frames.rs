//! The frames between a forked child and its parent: length, flags, the fingerprint of the type, the message.
//!
//! Does no I/O and knows no channel. Cutting never panics, and holds no more than what has come; a frame that
//! declares more than [`MESSAGE_BYTES_MAX`] is refused as soon as its length is seen.

use std::{collections::VecDeque, os::fd::OwnedFd};

use crate::{
    error::{Cause, Error},
    mail::MESSAGE_BYTES_MAX,
    message::{ClusterMessage, fingerprint},
};

/// Length of what follows, flags, fingerprint.
pub(crate) const HEAD_BYTES: usize = 4 + 1 + 8;
/// The frame brings a descriptor.
const WITH_FD: u8 = 1;
/// Descriptors that came before the frames they belong to were whole. An honest sender has one.
const FDS_AHEAD_MAX: usize = 8;

/// The frame of a message.
///
/// # Errors
/// It is too large, or its serde code fails.
pub(crate) fn encode<M: ClusterMessage>(message: &M, with_fd: bool) -> Result<Vec<u8>, Error> {
    let failed = |cause| Error::new("send", M::NAME, cause);
    let mut bytes = vec![0; 4];
    bytes.push(if with_fd { WITH_FD } else { 0 });
    bytes.extend_from_slice(&fingerprint::<M>().to_le_bytes());
    let mut bytes = postcard::to_extend(message, bytes)
        .map_err(|error| failed(Cause::Serde(error.to_string())))?;
    let payload = bytes.len() - HEAD_BYTES;
    if payload > MESSAGE_BYTES_MAX {
        return Err(failed(Cause::TooLarge { bytes: payload, most: MESSAGE_BYTES_MAX }));
    }
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// A frame that was cut out.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) fingerprint: u64,
    pub(crate) payload: Vec<u8>,
    pub(crate) fd: Option<OwnedFd>,
    /// The frame was to bring a descriptor, and it did not come.
    pub(crate) fd_lost: bool,
    /// How many bytes it took.
    pub(crate) length: usize,
}

/// Cuts out the frame at the beginning of the bytes, if all of it is there.
///
/// # Errors
/// Says what is wrong with the bytes.
pub(crate) fn next_frame(bytes: &[u8], fds: &mut VecDeque<OwnedFd>) -> Result<Option<Cut>, String> {
    if fds.len() > FDS_AHEAD_MAX {
        return Err("the other side sends descriptors without messages".to_owned());
    }
    let Some(length) = bytes.first_chunk() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if !(HEAD_BYTES - 4..=HEAD_BYTES - 4 + MESSAGE_BYTES_MAX).contains(&length) {
        return Err(format!("a message of {length} bytes, which cannot be"));
    }
    let length = 4 + length;
    let Some(frame) = bytes.get(..length) else { return Ok(None) };
    let with_fd = match frame[4] {
        0 => false,
        WITH_FD => true,
        flags => return Err(format!("a message with unknown flags {flags:#x}")),
    };
    let fingerprint = frame[5..HEAD_BYTES].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    let fd = if with_fd { fds.pop_front() } else { None };
    let fd_lost = with_fd && fd.is_none();
    // Copied, so that a small message does not hold the buffer it came in.
    let payload = frame[HEAD_BYTES..].to_vec();
    Ok(Some(Cut { fingerprint, payload, fd, fd_lost, length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Vec<u8> {
        encode(&text.to_owned(), false).expect("small")
    }

    impl ClusterMessage for String {
        const NAME: &'static str = "a text";
    }

    #[test]
    fn frames_are_cut_whatever_the_borders() {
        let stream = [frame("one"), frame(""), frame("three")].concat();
        for step in 1..stream.len() {
            let (mut bytes, mut fds, mut found) = (Vec::new(), VecDeque::new(), Vec::new());
            for chunk in stream.chunks(step) {
                bytes.extend_from_slice(chunk);
                while let Some(cut) = next_frame(&bytes, &mut fds).expect("good") {
                    bytes.drain(..cut.length);
                    found.push(crate::message::decode::<String>(&cut.payload).expect("a text"));
                }
            }
            assert_eq!(found, ["one", "", "three"]);
        }
    }

    #[test]
    fn small_messages_hold_little_more_than_themselves() {
        let stream = frame("x").repeat(4000);
        let held: Vec<usize> = {
            let mut rest = &stream[..];
            let cut = std::iter::from_fn(|| {
                let cut = next_frame(rest, &mut VecDeque::new()).expect("good")?;
                rest = &rest[cut.length..];
                Some(cut)
            });
            cut.map(|cut| cut.payload.capacity()).collect()
        };
        assert_eq!(held, vec![2; 4000]);
    }

    #[test]
    fn lengths_and_flags_that_cannot_be_are_refused() {
        for length in [0, 8, u32::MAX, 0x7fff_ffff, MESSAGE_BYTES_MAX as u32 + 10] {
            let bytes = length.to_le_bytes();
            assert!(next_frame(&bytes, &mut VecDeque::new()).is_err(), "{length}");
        }
        let mut bytes = frame("x");
        bytes[4] = 2;
        assert!(next_frame(&bytes, &mut VecDeque::new()).is_err());
    }
}
