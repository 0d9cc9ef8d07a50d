//! Encoded frames that wait to be written: small ones together in one piece, large ones shared.
//!
//! Bookkeeping only; its bound is its owner's to keep. Bytes come out in the order in which they went
//! in, and a piece is freed as soon as it is out.

use std::{collections::VecDeque, sync::Arc};

/// The most that is written, and read, at once.
pub(crate) const PIECE_BYTES: usize = 64 * 1024;

/// From this size on a frame is shared among its receivers; below, copying it is cheaper.
const SHARED_BYTES_MIN: usize = 16 * 1024;

/// A frame on its way to one or many receivers.
#[derive(Clone, Debug)]
pub(crate) enum Parcel<'a> {
    Small(&'a [u8]),
    Shared(Arc<Vec<u8>>),
}

impl<'a> Parcel<'a> {
    pub(crate) fn of(frame: &'a [u8]) -> Self {
        if frame.len() < SHARED_BYTES_MIN {
            Self::Small(frame)
        } else {
            Self::Shared(Arc::new(frame.to_vec()))
        }
    }

    pub(crate) fn of_vec(frame: Vec<u8>) -> Parcel<'static> {
        Parcel::Shared(Arc::new(frame))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Small(frame) => frame,
            Self::Shared(frame) => frame,
        }
    }
}

#[derive(Debug)]
enum Piece {
    Batch(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

#[derive(Debug, Default)]
pub(crate) struct Pieces {
    queue: VecDeque<Piece>,
    /// How much of the first piece is out.
    out: usize,
    bytes: usize,
}

impl Pieces {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub(crate) fn push(&mut self, parcel: &Parcel<'_>) {
        self.bytes += parcel.bytes().len();
        match parcel {
            Parcel::Shared(frame) if frame.len() >= SHARED_BYTES_MIN => {
                self.queue.push_back(Piece::Shared(Arc::clone(frame)));
            }
            parcel => {
                let frame = parcel.bytes();
                match self.queue.back_mut() {
                    Some(Piece::Batch(batch)) if batch.len() + frame.len() <= PIECE_BYTES => {
                        batch.extend_from_slice(frame);
                    }
                    _ => self.queue.push_back(Piece::Batch(frame.to_vec())),
                }
            }
        }
    }

    /// What to write next: at most [`PIECE_BYTES`], empty if nothing waits.
    pub(crate) fn front(&self) -> &[u8] {
        let piece = match self.queue.front() {
            Some(Piece::Batch(batch)) => batch,
            Some(Piece::Shared(frame)) => &**frame,
            None => return &[],
        };
        let rest = piece.get(self.out..).unwrap_or_default();
        &rest[..rest.len().min(PIECE_BYTES)]
    }

    /// The first `count` bytes are out; at most what `front` gave.
    pub(crate) fn advance(&mut self, count: usize) {
        self.out += count;
        self.bytes = self.bytes.saturating_sub(count);
        let length = match self.queue.front() {
            Some(Piece::Batch(batch)) => batch.len(),
            Some(Piece::Shared(frame)) => frame.len(),
            None => 0,
        };
        if self.out >= length {
            self.queue.pop_front();
            self.out = 0;
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_whatever_their_sizes() {
        let frames: Vec<Vec<u8>> = [10, 20_000, 5, 70_000, 65_000, 3_000, 200_000]
            .map(|n| vec![(n % 251) as u8; n])
            .into();
        let mut pieces = Pieces::default();
        for frame in &frames {
            pieces.push(&Parcel::of(frame));
        }
        let all = frames.concat();
        assert_eq!(pieces.len(), all.len());
        let mut out = Vec::new();
        while !pieces.is_empty() {
            let front = pieces.front();
            assert!(!front.is_empty() && front.len() <= PIECE_BYTES);
            // Not always all of it, as a socket does.
            let taken = front.len().div_ceil(2);
            out.extend_from_slice(&front[..taken]);
            pieces.advance(taken);
        }
        assert!(out == all);
        assert!(pieces.front().is_empty());
    }

    #[test]
    fn small_frames_are_written_together() {
        let mut pieces = Pieces::default();
        for _ in 0..100 {
            pieces.push(&Parcel::of(b"0123456789"));
        }
        assert_eq!(pieces.front().len(), 1000);
    }
}
