//! Which lane gets the next connection, where the master chooses.
//!
//! Knows lanes only as positions, whether each is available and how loaded; what makes a lane
//! available is the dispatcher's to say. Invariant: what is chosen was available.

use std::net::IpAddr;

use super::rendezvous;

/// Round robin over the available positions, from the least loaded ones where load counts.
///
/// The turn moves on from the position last chosen, so that a position that was unavailable for a
/// while neither catches up nor delays the others.
#[derive(Debug, Default)]
pub(crate) struct InTurn {
    /// The position whose turn it is.
    turn: usize,
}

impl InTurn {
    /// The next available position among `count`, or `None` if none is.
    pub(crate) fn next(
        &mut self,
        count: usize,
        available: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let chosen = self.beginning_with_turn(count).find(|&at| available(at))?;
        self.turn = (chosen + 1) % count;
        Some(chosen)
    }

    /// The available position with the least load, those with equal load in turn. `load` is `None` for
    /// what is not available.
    pub(crate) fn least(
        &mut self,
        count: usize,
        load: impl Fn(usize) -> Option<u64>,
    ) -> Option<usize> {
        let loaded = self.beginning_with_turn(count).filter_map(|at| Some((load(at)?, at)));
        // The first of several equals, so the one whose turn is nearest.
        let (_, chosen) = loaded.min_by_key(|&(load, _)| load)?;
        self.turn = (chosen + 1) % count;
        Some(chosen)
    }

    fn beginning_with_turn(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let turn = self.turn;
        (0..count).map(move |step| (turn + step) % count)
    }
}

/// What a client is to a sticky schedule: its address without the port, and an IPv4 address is the same
/// client on a dual-stack socket.
pub(crate) fn client(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => rendezvous::hash_of(&ip.octets()),
        IpAddr::V6(ip) => rendezvous::hash_of(&ip.octets()),
    }
}

/// The slot of a sticky client, among `slots`: its first choice, or the next best that `takes`.
pub(crate) fn sticky(client: u64, slots: usize, takes: impl Fn(usize) -> bool) -> Option<usize> {
    rendezvous::place(client, (0..slots).filter(|&slot| takes(slot)))
}

/// Where a connection with a key belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    /// The hash of its key.
    pub(crate) key: u64,
    /// What a table says of it.
    pub(crate) table: Option<usize>,
}

/// The place of a connection with a key, among `places`: that of the table if it is there, else that of the hash; if it
/// does not take it, the key's next one that `takes`.
pub(crate) fn home(home: Home, places: usize, takes: impl Fn(usize) -> bool) -> Option<usize> {
    let in_table = home.table.filter(|&place| place < places && takes(place));
    in_table.or_else(|| sticky(home.key, places, takes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_in_turn() {
        let mut schedule = InTurn::default();
        let picks: Vec<_> = (0..7).filter_map(|_| schedule.next(3, |_| true)).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn passes_over_who_is_not_available_without_favour() {
        let mut schedule = InTurn::default();
        let picks: Vec<_> = (0..4).filter_map(|_| schedule.next(3, |at| at != 1)).collect();
        assert_eq!(picks, [0, 2, 0, 2]);
    }

    #[test]
    fn nobody_available_is_none() {
        let mut schedule = InTurn::default();
        assert_eq!(schedule.next(3, |_| false), None);
        assert_eq!(schedule.next(0, |_| true), None);
        assert_eq!(schedule.least(3, |_| None), None);
        assert_eq!(sticky(client([127, 0, 0, 1].into()), 3, |_| false), None);
    }

    #[test]
    fn survives_a_shrinking_count() {
        let mut schedule = InTurn::default();
        for _ in 0..4 {
            schedule.next(8, |_| true);
        }
        assert_eq!(schedule.next(2, |_| true), Some(0));
    }

    #[test]
    fn the_least_loaded_is_chosen_and_equals_in_turn() {
        let mut schedule = InTurn::default();
        let mut load = [0_u64; 3];
        for _ in 0..9 {
            let at = schedule.least(3, |at| Some(load[at])).expect("available");
            load[at] += 1;
        }
        assert_eq!(load, [3, 3, 3]);
        load[1] = 0;
        let picks: Vec<_> = (0..3).filter_map(|_| schedule.least(3, |at| Some(load[at]))).collect();
        assert_eq!(picks, [1, 1, 1]);
    }

    #[test]
    fn a_client_keeps_its_slot_and_has_one_next_best() {
        for last in 1..=200_u8 {
            let client = client([10, 0, 0, last].into());
            let home = sticky(client, 4, |_| true).expect("a slot");
            let next = sticky(client, 4, |slot| slot != home).expect("a slot");
            assert_ne!(home, next);
            assert_eq!(sticky(client, 4, |slot| slot != next), Some(home));
        }
    }

    #[test]
    fn a_key_is_where_the_table_says_and_else_where_the_hash_does() {
        let of = |table| Home { key: rendezvous::hash_of("a"), table };
        let by_hash = home(of(None), 4, |_| true).expect("a place");
        let other = (by_hash + 1) % 4;
        assert_eq!(home(of(Some(other)), 4, |_| true), Some(other));
        assert_eq!(home(of(Some(other)), 4, |place| place != other), Some(by_hash));
        assert_eq!(home(of(Some(4)), 4, |_| true), Some(by_hash), "it is not there");
        assert_eq!(home(of(Some(0)), 4, |_| false), None);
    }

    #[test]
    fn an_ipv4_client_is_the_same_on_a_dual_stack_socket() {
        let mapped: IpAddr = "::ffff:10.1.2.3".parse().expect("an address");
        assert_eq!(client(mapped), client([10, 1, 2, 3].into()));
    }
}
