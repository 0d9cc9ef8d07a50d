//! Encoded frames that wait to be written: small ones together in one piece, large ones shared, one that
//! a descriptor goes with by itself.
//!
//! Bookkeeping only; its bound is its owner's to keep. Bytes come out in the order in which they went
//! in, and a piece is freed as soon as it is out, but for the memory of one, which serves the next. A
//! descriptor that the kernel refuses holds up what is behind it for [`PATIENCE`] at most; then its frame goes
//! without it, and says so.

use std::{
    collections::VecDeque,
    os::fd::BorrowedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{DESCRIPTOR_BYTES, Enclosure, patience::PATIENCE, set_enclosure};
use crate::sys::passing::Passing;

/// The most that is written, and read, at once: a message of 64 KiB with its head.
pub(crate) const PIECE_BYTES: usize = 68 * 1024;

/// From this size on a frame is shared among its receivers; below, copying it is cheaper.
const SHARED_BYTES_MIN: usize = 16 * 1024;

/// How long until a refused descriptor is tried again.
const REFUSED_PAUSE: Duration = Duration::from_millis(10);

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

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Small(frame) => frame,
            Self::Shared(frame) => frame,
        }
    }

    pub(crate) fn to_shared(&self) -> Arc<Vec<u8>> {
        match self {
            Self::Small(frame) => Arc::new(frame.to_vec()),
            Self::Shared(frame) => Arc::clone(frame),
        }
    }
}

#[derive(Debug)]
enum Piece {
    Batch(Vec<u8>),
    Shared(Arc<Vec<u8>>),
    /// The descriptor is gone as soon as the first byte is out.
    Enclosing(Vec<u8>, Option<Passing>),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Batch(bytes) | Self::Enclosing(bytes, _) => bytes,
            Self::Shared(frame) => frame,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Pieces {
    queue: VecDeque<Piece>,
    /// Of a batch that is out, at most [`PIECE_BYTES`]: a stream of messages would have the system map new
    /// memory for every batch.
    spare: Vec<u8>,
    /// How much of the first piece is out.
    out: usize,
    bytes: usize,
    descriptors: usize,
    /// Since when descriptors have been refused, and when one was last.
    refused: Option<(Instant, Instant)>,
    /// The descriptor in front is to be tried again then.
    held_until: Option<Instant>,
}

impl Pieces {
    /// What waits, in bytes, with what descriptors count for.
    pub(crate) fn weight(&self) -> usize {
        self.bytes + self.descriptors * DESCRIPTOR_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub(crate) fn push(&mut self, parcel: &Parcel<'_>) {
        match parcel {
            Parcel::Shared(frame) if frame.len() >= SHARED_BYTES_MIN => {
                self.add(Piece::Shared(Arc::clone(frame)));
            }
            parcel => {
                let frame = parcel.bytes();
                if !self.join(frame) {
                    let mut batch = std::mem::take(&mut self.spare);
                    batch.extend_from_slice(frame);
                    self.add(Piece::Batch(batch));
                }
            }
        }
    }

    /// Takes a frame that is nobody else's.
    pub(crate) fn push_owned(&mut self, frame: Vec<u8>) {
        if frame.len() >= SHARED_BYTES_MIN {
            self.add(Piece::Batch(frame));
        } else {
            self.push(&Parcel::Small(&frame));
        }
    }

    /// Takes a frame and the descriptor that goes with it.
    pub(crate) fn push_enclosing(&mut self, frame: Vec<u8>, fd: Passing) {
        self.descriptors += 1;
        self.add(Piece::Enclosing(frame, Some(fd)));
    }

    /// Puts a small frame to those that wait last, if there is room in their piece.
    fn join(&mut self, frame: &[u8]) -> bool {
        match self.queue.back_mut() {
            Some(Piece::Batch(batch)) if batch.len() + frame.len() <= PIECE_BYTES => {
                let length = batch.len() + frame.len();
                if length > batch.capacity() {
                    // As a vector does, but no more than it can need.
                    let most = length.max(2 * batch.capacity()).min(PIECE_BYTES);
                    batch.reserve_exact(most - batch.len());
                }
                batch.extend_from_slice(frame);
                self.bytes += frame.len();
                true
            }
            _ => false,
        }
    }

    fn add(&mut self, piece: Piece) {
        self.bytes += piece.bytes().len();
        self.queue.push_back(piece);
    }

    /// What to write next: at most [`PIECE_BYTES`], empty if nothing waits; and the descriptor that goes
    /// with the first byte.
    pub(crate) fn front(&self) -> (&[u8], Option<BorrowedFd<'_>>) {
        let Some(piece) = self.queue.front() else { return (&[], None) };
        let rest = piece.bytes().get(self.out..).unwrap_or_default();
        let fd = match piece {
            Piece::Enclosing(_, Some(fd)) => fd.borrow(),
            _ => None,
        };
        (&rest[..rest.len().min(PIECE_BYTES)], fd)
    }

    /// The first `count` bytes are out, with the descriptor if there is one; at most what `front` gave.
    /// Returns the descriptor.
    pub(crate) fn advance(&mut self, count: usize) -> Option<Passing> {
        if count == 0 {
            return None;
        }
        self.out += count;
        self.bytes = self.bytes.saturating_sub(count);
        let fd = self.take_descriptor();
        if fd.is_some() {
            self.refused = None;
        }
        if self.queue.front().is_none_or(|piece| self.out >= piece.bytes().len()) {
            if let Some(Piece::Batch(mut batch)) = self.queue.pop_front() {
                if (self.spare.capacity()..=PIECE_BYTES).contains(&batch.capacity()) {
                    batch.clear();
                    self.spare = batch;
                }
            }
            self.out = 0;
        }
        fd
    }

    fn take_descriptor(&mut self) -> Option<Passing> {
        let Some(Piece::Enclosing(_, fd)) = self.queue.front_mut() else { return None };
        let fd = fd.take()?;
        self.descriptors -= 1;
        self.held_until = None;
        Some(fd)
    }

    /// The kernel did not take the descriptor in front (ETOOMANYREFS: too many are on their way for this
    /// user, and nothing tells when there are less).
    pub(crate) fn refused(&mut self, now: Instant) {
        // One long ago says nothing of this one; but one after the other are not waited for anew.
        let recent = self.refused.filter(|(_, last)| now < *last + PATIENCE);
        let since = recent.map_or(now, |(since, _)| since);
        self.refused = Some((since, now));
        if now < since + PATIENCE {
            self.held_until = Some(now + REFUSED_PAUSE);
            return;
        }
        drop(self.take_descriptor());
        if let Some(Piece::Enclosing(frame, _)) = self.queue.front_mut() {
            set_enclosure(frame, Enclosure::Lost);
        }
    }

    /// Until when a refused descriptor holds up what waits.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Head, Kind, Place, decode};

    #[test]
    fn bytes_come_out_as_they_went_in_whatever_their_sizes() {
        let frames: Vec<Vec<u8>> = [10, 20_000, 5, 70_000, 65_000, 3_000, 200_000]
            .map(|n| vec![(n % 251) as u8; n])
            .into();
        let mut pieces = Pieces::default();
        for (at, frame) in frames.iter().enumerate() {
            match at % 2 {
                0 => pieces.push(&Parcel::of(frame)),
                _ => pieces.push_owned(frame.clone()),
            }
        }
        let all = frames.concat();
        assert_eq!(pieces.weight(), all.len());
        let mut out = Vec::new();
        while !pieces.is_empty() {
            let (front, _) = pieces.front();
            assert!(!front.is_empty() && front.len() <= PIECE_BYTES);
            // Not always all of it, as a socket does.
            let taken = front.len().div_ceil(2);
            out.extend_from_slice(&front[..taken]);
            pieces.advance(taken);
        }
        assert!(out == all);
        assert!(pieces.front().0.is_empty());
    }

    #[test]
    fn small_frames_are_written_together() {
        let mut pieces = Pieces::default();
        for _ in 0..100 {
            pieces.push(&Parcel::of(b"0123456789"));
        }
        assert_eq!(pieces.front().0.len(), 1000);
    }

    fn enclosing() -> (Vec<u8>, Passing) {
        let (from, to) = (Place::Master, Place::Slot(1));
        let kind = Kind::Message;
        let head = Head { kind, from, to, request: 0, fingerprint: 0, generation: 1 };
        let mut frame = head.encode("News", b"");
        set_enclosure(&mut frame, Enclosure::Descriptor);
        let (socket, _) = crate::sys::socket::stream_pair().expect("a pair");
        (frame, Passing::new(socket))
    }

    #[test]
    fn a_descriptor_goes_with_the_first_byte_of_its_frame_and_no_other() {
        let mut pieces = Pieces::default();
        let (frame, fd) = enclosing();
        pieces.push(&Parcel::Small(b"before"));
        pieces.push_enclosing(frame.clone(), fd);
        pieces.push(&Parcel::Small(b"behind"));
        assert_eq!(pieces.weight(), 12 + frame.len() + DESCRIPTOR_BYTES);
        assert!(matches!(pieces.front(), (b"before", None)));
        assert!(pieces.advance(6).is_none());
        assert!(pieces.front().1.is_some());
        assert!(pieces.advance(1).is_some());
        assert!(pieces.front().1.is_none());
        assert!(pieces.advance(frame.len() - 1).is_none());
        assert_eq!(pieces.weight(), 6);
        assert!(matches!(pieces.front(), (b"behind", None)));
    }

    #[test]
    fn a_refused_descriptor_is_given_up_in_the_end_and_its_frame_says_so() {
        let mut pieces = Pieces::default();
        for _ in 0..3 {
            let (frame, fd) = enclosing();
            pieces.push_enclosing(frame, fd);
        }
        let start = Instant::now();
        for now in [start, start + PATIENCE / 2] {
            pieces.refused(now);
            assert_eq!(pieces.held_until(), Some(now + REFUSED_PAUSE));
            assert!(pieces.front().1.is_some());
        }
        // The second is not waited for anew.
        for _ in 0..2 {
            pieces.refused(start + PATIENCE);
            let (bytes, fd) = pieces.front();
            assert!(fd.is_none() && pieces.held_until().is_none());
            let (frame, total) = decode(bytes).expect("a frame").expect("all of it");
            assert_eq!(frame.enclosure, Enclosure::Lost);
            pieces.advance(total);
        }
        let later = start + PATIENCE * 3;
        pieces.refused(later);
        assert_eq!(pieces.held_until(), Some(later + REFUSED_PAUSE));
        assert!(pieces.advance(1).is_some());
        assert_eq!(pieces.held_until(), None);
    }
}
