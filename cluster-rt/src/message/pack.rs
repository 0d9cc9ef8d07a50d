//! Messages of one sender and one type, one after the other, in one piece of memory.
//!
//! What waits in it costs no allocation and no lock of its own. Bounded by the tray that it is in.

use super::letter::{ENTRY_BYTES, Origin};
use crate::mail::run::{Run, split_payload};

/// What is this long is not joined, and joins nothing: so nobody waits long for its copying.
const PACK_BYTES_MAX: usize = 32 * 1024;

/// Frames that differ in nothing but their payloads.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) origin: Origin,
    bytes: Vec<u8>,
    /// Where the payload of a frame begins.
    head_bytes: usize,
    /// How many of the bytes are taken.
    taken: usize,
    cost: usize,
}

impl Pack {
    pub(super) fn of(run: &Run<'_>) -> Self {
        let (origin, head_bytes) = (Origin::of(&run.first), run.head_bytes());
        Self { origin, bytes: run.bytes.to_vec(), head_bytes, taken: 0, cost: cost(run) }
    }

    /// Takes the run too, if it is like what is here.
    pub(super) fn join(&mut self, run: &Run<'_>) -> bool {
        let before = run.head_bytes() - run.head().len()..run.head_bytes();
        let short = self.bytes.len().max(run.bytes.len()) < PACK_BYTES_MAX;
        let joins = short && self.bytes.get(before) == Some(run.head());
        if joins {
            let room = self.bytes.len() + run.bytes.len();
            if room > self.bytes.capacity() {
                // Less than a vector would take: it is not to be much beyond what is counted.
                self.bytes
                    .reserve_exact(room.max(self.bytes.capacity() * 5 / 4) - self.bytes.len());
            }
            self.bytes.extend_from_slice(run.bytes);
            self.cost += cost(run);
        }
        joins
    }

    /// What it counts for as long as anything of it waits.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Takes the next payload.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let (payload, rest) = split_payload(&self.bytes[self.taken..], self.head_bytes)?;
        self.taken = self.bytes.len() - rest.len();
        Some(payload)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken >= self.bytes.len()
    }
}

/// The same as that of as many letters; a head with a long name may be more.
fn cost(run: &Run<'_>) -> usize {
    run.bytes.len() + run.count * ENTRY_BYTES.saturating_sub(run.head_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Head, Kind, Place};

    fn frame(name: &str, payload: &[u8]) -> Vec<u8> {
        let (kind, from, to) = (Kind::Message, Place::Master, Place::Everyone);
        let head = Head { kind, from, to, request: 0, fingerprint: 0, generation: 1 };
        head.encode(name, payload)
    }

    fn run(bytes: &[u8]) -> Run<'_> {
        Run::at_front(bytes).expect("good bytes").expect("all of it")
    }

    #[test]
    fn payloads_come_out_in_order_and_cost_what_letters_do() {
        let first = [frame("News", b"1"), frame("News", b"")].concat();
        let mut pack = Pack::of(&run(&first));
        assert!(pack.join(&run(&frame("News", b"three"))));
        assert!(!pack.join(&run(&frame("Newt", b"4"))));
        assert!(!pack.join(&run(&frame("New", b"4"))));
        assert_eq!(pack.cost(), 3 * ENTRY_BYTES + 6);
        for payload in [&b"1"[..], b"", b"three"] {
            assert!(!pack.is_empty());
            assert_eq!(pack.next(), Some(payload));
        }
        assert!(pack.is_empty() && pack.next().is_none());
    }

    #[test]
    fn a_long_pack_takes_no_more() {
        let frame = frame("News", &[0; 1000]);
        let mut pack = Pack::of(&run(&frame));
        let joined = (0..100).take_while(|_| pack.join(&run(&frame))).count();
        assert_eq!(joined, PACK_BYTES_MAX / frame.len());
    }
}
