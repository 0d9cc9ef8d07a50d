//! Bytes of a lane on their way to being frames, and the descriptors that come with them.
//!
//! Does no I/O itself. Holds at most one frame and what one read brings, and grows with the bytes that
//! come, not with the length that a frame declares. A descriptor belongs to the frame whose first byte
//! came with it; one that belongs to none is closed, so that there are never more than two.

use super::{Enclosure, pieces::PIECE_BYTES, run::Run};
use crate::sys::passing::Passing;

#[derive(Debug, Default)]
pub(crate) struct Incoming {
    buffer: Vec<u8>,
    /// What is filled and not consumed.
    start: usize,
    end: usize,
    /// Bytes consumed since the beginning.
    consumed: u64,
    descriptors: Vec<Arrived>,
    /// That of the frame at the front.
    front: Option<Passing>,
}

/// A descriptor, and the bytes with which it came, counted from the beginning.
#[derive(Debug)]
struct Arrived {
    from: u64,
    to: u64,
    fd: Passing,
}

impl Incoming {
    /// Lets `read` put bytes behind those that are there; returns how many. Every whole frame has to be
    /// consumed before.
    pub(crate) fn fill<E>(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Result<(usize, Option<Passing>), E>,
    ) -> Result<usize, E> {
        self.make_room();
        let free = &mut self.buffer[self.end..];
        let most = free.len().min(PIECE_BYTES);
        let (count, fd) = read(&mut free[..most])?;
        let count = count.min(most);
        if let Some(fd) = fd {
            // Of those that came before, only the one of the frame that is not whole yet is of use.
            let at = self.consumed;
            self.descriptors.retain(|arrived| arrived.from <= at && at < arrived.to);
            let from = self.consumed + (self.end - self.start) as u64;
            self.descriptors.push(Arrived { from, to: from + count as u64, fd });
        }
        self.end += count;
        Ok(count)
    }

    /// Whether everything that came is consumed.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            // What a large frame needed is not held for small ones.
            if self.buffer.len() > 4 * PIECE_BYTES {
                self.buffer = Vec::new();
            }
        }
        if self.buffer.len() - self.end >= PIECE_BYTES {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() - self.end < PIECE_BYTES {
            // Twice as much, as a vector does, but no more than the frame at the front needs.
            let declared =
                self.buffer[..self.end].first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
            let twice = (2 * self.end).min(declared as usize);
            let length = twice.max(self.end) + PIECE_BYTES;
            self.buffer.reserve_exact(length - self.buffer.len());
            self.buffer.resize(length, 0);
        }
    }

    /// The next frames, of those that are all here, with the descriptor that came with them, which may be
    /// taken.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub(crate) fn run(&mut self) -> Result<Option<(Run<'_>, &mut Option<Passing>)>, String> {
        let Some(run) = Run::at_front(&self.buffer[self.start..self.end])? else { return Ok(None) };
        let at = self.consumed;
        let mut own = self.descriptors.iter().position(|came| came.from <= at && at < came.to);
        // A read that ends with a descriptor may begin with frames that have none.
        own = own.filter(|_| run.first.enclosure == Enclosure::Descriptor);
        if let Some(own) = own {
            self.front = Some(self.descriptors.swap_remove(own).fd);
        }
        Ok(Some((run, &mut self.front)))
    }

    /// The first `count` bytes are dealt with.
    pub(crate) fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        self.start += count;
        self.consumed += count as u64;
        // What nobody took nobody expected.
        self.front = None;
        let at = self.consumed;
        self.descriptors.retain(|came| at < came.to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Head, Kind, Place, set_enclosure};

    #[test]
    fn frames_come_out_whatever_the_borders_of_the_reads() {
        let head = |request| Head {
            kind: Kind::Message,
            from: Place::Master,
            to: Place::Everyone,
            request,
            fingerprint: 0,
            generation: 1,
        };
        let sizes = [0, 10, 100_000, 3, 700_000, 65_536, 1];
        let stream: Vec<u8> = (0_u64..)
            .zip(sizes)
            .flat_map(|(n, size)| head(n).encode("News", &vec![b'x'; size]))
            .collect();
        for step in [1_000, 65_536, 7] {
            let (mut incoming, mut came, mut rest) = (Incoming::default(), Vec::new(), &stream[..]);
            while !rest.is_empty() {
                let count = incoming.fill(|buffer| {
                    let count = step.min(rest.len()).min(buffer.len());
                    buffer[..count].copy_from_slice(&rest[..count]);
                    Ok::<_, ()>((count, None))
                });
                rest = &rest[count.expect("no error")..];
                while let Some((run, _)) = incoming.run().expect("good bytes") {
                    came.extend(
                        run.frames().map(|frame| (frame.head.request, frame.payload.len())),
                    );
                    let count = run.bytes.len();
                    incoming.consume(count);
                }
            }
            assert!(came.into_iter().eq((0..).zip(sizes)), "reads of {step}");
        }
    }

    #[test]
    fn a_descriptor_is_that_of_the_frame_whose_first_byte_came_with_it() {
        let head = Head {
            kind: Kind::Message,
            from: Place::Master,
            to: Place::Slot(0),
            request: 0,
            fingerprint: 0,
            generation: 1,
        };
        let plain = head.encode("News", b"0123456789");
        let mut frame = plain.clone();
        set_enclosure(&mut frame, Enclosure::Descriptor);
        let mut incoming = Incoming::default();
        let read = |incoming: &mut Incoming, bytes: &[u8], with_fd: bool| {
            let fd =
                with_fd.then(|| Passing::new(crate::sys::socket::stream_pair().expect("a pair").0));
            let filled = incoming.fill(|buffer| {
                buffer[..bytes.len()].copy_from_slice(bytes);
                Ok::<_, ()>((bytes.len(), fd))
            });
            filled.expect("no error");
        };
        let next = |incoming: &mut Incoming| {
            let (run, fd) = incoming.run().expect("good bytes")?;
            let (count, fd) = (run.bytes.len(), fd.take());
            incoming.consume(count);
            Some(fd.is_some())
        };
        let (first, rest) = frame.split_at(7);
        // The end of one frame and the beginning of the next come in one read.
        read(&mut incoming, &[&frame[..], first].concat(), false);
        assert_eq!((next(&mut incoming), next(&mut incoming)), (Some(false), None));
        read(&mut incoming, &[rest, &frame[..]].concat(), true);
        assert_eq!((next(&mut incoming), next(&mut incoming)), (Some(false), Some(true)));
        // Nor does it matter what else the read brings.
        read(&mut incoming, &[&plain[..], &frame[..]].concat(), true);
        assert_eq!((next(&mut incoming), next(&mut incoming)), (Some(false), Some(true)));
        // In the middle of a frame nobody expects one, however many come.
        read(&mut incoming, first, true);
        for &byte in &rest[..rest.len() - 1] {
            read(&mut incoming, &[byte], true);
            assert!(incoming.descriptors.len() <= 2);
        }
        read(&mut incoming, &rest[rest.len() - 1..], true);
        assert_eq!(next(&mut incoming), Some(true));
        read(&mut incoming, &frame, false);
        assert_eq!(next(&mut incoming), Some(false));
    }
}
