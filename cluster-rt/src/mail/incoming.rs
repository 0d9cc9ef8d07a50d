//! Bytes of a lane on their way to being frames.
//!
//! Does no I/O itself. Holds at most one frame and what one read brings, and grows with the bytes that
//! come, not with the length that a frame declares.

use super::{Frame, decode, pieces::PIECE_BYTES};

#[derive(Debug, Default)]
pub(crate) struct Incoming {
    buffer: Vec<u8>,
    /// What is filled and not consumed.
    start: usize,
    end: usize,
}

impl Incoming {
    /// Lets `read` put bytes behind those that are there; returns what it returned.
    pub(crate) fn fill<E>(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.make_room();
        let free = &mut self.buffer[self.end..];
        let most = free.len().min(PIECE_BYTES);
        let count = read(&mut free[..most])?;
        self.end += count.min(most);
        Ok(count)
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

    /// The next frame if all of it is here, with its bytes.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub(crate) fn frame(&self) -> Result<Option<(Frame<'_>, &[u8])>, String> {
        let bytes = &self.buffer[self.start..self.end];
        Ok(decode(bytes)?.map(|(frame, total)| (frame, &bytes[..total])))
    }

    /// The first `count` bytes are dealt with.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Head, Kind, Place};

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
                    Ok::<_, ()>(count)
                });
                rest = &rest[count.expect("no error")..];
                while let Some((frame, bytes)) = incoming.frame().expect("good bytes") {
                    came.push((frame.head.request, frame.payload.len()));
                    let count = bytes.len();
                    incoming.consume(count);
                }
            }
            assert!(came.into_iter().eq((0..).zip(sizes)), "reads of {step}");
        }
    }
}
