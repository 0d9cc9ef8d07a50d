//! The slots of all services by number: which there are, and whose each is.
//!
//! Bookkeeping only. A number is given to one slot at a time, the lowest that is free; it is free again when
//! its slot is scaled away, whoever still drains there.

use std::ops::{Index, IndexMut};

use super::record::Seat;

#[derive(Debug, Default)]
pub(super) struct Seats {
    places: Vec<Option<Seat>>,
    /// How often a slot came or went.
    changes: u64,
}

impl Seats {
    /// Gives the seat the lowest number that is free.
    pub(super) fn open(&mut self, seat: Seat) -> usize {
        self.changes += 1;
        let free = self.places.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.places.len());
        if slot == self.places.len() {
            self.places.push(None);
        }
        self.places[slot] = Some(seat);
        slot
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<Seat> {
        self.changes += 1;
        let seat = self.places.get_mut(slot)?.take();
        while matches!(self.places.last(), Some(None)) {
            self.places.pop();
        }
        seat
    }

    pub(super) fn get(&self, slot: usize) -> Option<&Seat> {
        self.places.get(slot)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Seat> {
        self.places.get_mut(slot)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Seat> {
        self.places.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Seat> {
        self.places.iter_mut().flatten()
    }

    /// With their numbers, which go up.
    pub(super) fn numbered(&self) -> impl DoubleEndedIterator<Item = (usize, &Seat)> {
        let numbered = self.places.iter().enumerate();
        numbered.filter_map(|(slot, seat)| Some((slot, seat.as_ref()?)))
    }

    /// The numbers of all slots, going up.
    pub(super) fn slots(&self) -> Vec<usize> {
        self.numbered().map(|(slot, _)| slot).collect()
    }

    pub(super) fn of(&self, service: usize) -> impl DoubleEndedIterator<Item = (usize, &Seat)> {
        self.numbered().filter(move |(_, seat)| seat.service == service)
    }

    /// One more than the highest number.
    pub(super) fn bound(&self) -> usize {
        self.places.len()
    }

    /// Another number whenever a slot came or went.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }
}

/// For a slot that is there for sure: that of a worker that sits in it or is to.
impl Index<usize> for Seats {
    type Output = Seat;

    fn index(&self, slot: usize) -> &Seat {
        self.places[slot].as_ref().expect("the slot is there")
    }
}

impl IndexMut<usize> for Seats {
    fn index_mut(&mut self, slot: usize) -> &mut Seat {
        self.places[slot].as_mut().expect("the slot is there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::supervisor::record::Sitting;

    #[test]
    fn the_lowest_free_number_is_given_first() {
        let mut seats = Seats::default();
        let seat = |service| Seat::new(service, Sitting::Empty, 1);
        for (at, service) in [0, 0, 1, 0].into_iter().enumerate() {
            assert_eq!(seats.open(seat(service)), at);
        }
        assert!(seats.remove(1).is_some() && seats.remove(1).is_none());
        assert_eq!(seats.of(0).map(|(slot, _)| slot).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(seats.open(seat(1)), 1);
        assert_eq!(seats.slots(), [0, 1, 2, 3]);
        seats.remove(2);
        seats.remove(3);
        assert_eq!(seats.bound(), 2);
    }
}
