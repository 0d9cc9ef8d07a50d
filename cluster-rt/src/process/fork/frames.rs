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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) fingerprint: u64,
    pub(crate) with_fd: bool,
}

/// A frame's head, its payload and the descriptor that came along.
pub(crate) type Cut = (FrameHead, Vec<u8>, Option<OwnedFd>);

/// Cuts the first frame out of the bytes, if all of it is there.
///
/// # Errors
/// Says what is wrong with the bytes.
pub(crate) fn next_frame(
    bytes: &mut Vec<u8>,
    fds: &mut VecDeque<OwnedFd>,
) -> Result<Option<Cut>, String> {
    if fds.len() > FDS_AHEAD_MAX {
        return Err("the other side sends descriptors without messages".to_owned());
    }
    let Some(length) = bytes.first_chunk() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if !(HEAD_BYTES - 4..=HEAD_BYTES - 4 + MESSAGE_BYTES_MAX).contains(&length) {
        return Err(format!("a message of {length} bytes, which cannot be"));
    }
    if bytes.len() < 4 + length {
        return Ok(None);
    }
    let with_fd = match bytes[4] {
        0 => false,
        WITH_FD => true,
        flags => return Err(format!("a message with unknown flags {flags:#x}")),
    };
    let fingerprint = bytes[5..HEAD_BYTES].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    let rest = bytes.split_off(4 + length);
    let mut frame = std::mem::replace(bytes, rest);
    let fd = if with_fd { fds.pop_front() } else { None };
    frame.drain(..HEAD_BYTES);
    Ok(Some((FrameHead { fingerprint, with_fd }, frame, fd)))
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
                while let Some((_, payload, _)) = next_frame(&mut bytes, &mut fds).expect("good") {
                    found.push(crate::message::decode::<String>(&payload).expect("a text"));
                }
            }
            assert_eq!(found, ["one", "", "three"]);
        }
    }

    #[test]
    fn lengths_and_flags_that_cannot_be_are_refused() {
        for length in [0, 8, u32::MAX, 0x7fff_ffff, MESSAGE_BYTES_MAX as u32 + 10] {
            let mut bytes = length.to_le_bytes().to_vec();
            assert!(next_frame(&mut bytes, &mut VecDeque::new()).is_err(), "{length}");
        }
        let mut bytes = frame("x");
        bytes[4] = 2;
        assert!(next_frame(&mut bytes, &mut VecDeque::new()).is_err());
    }
}
