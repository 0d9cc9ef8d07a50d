//! Which slot gets the next connection.
//!
//! Knows slots only as positions and whether each is available; what makes a slot available is the
//! dispatcher's to say.

/// Round robin over the available positions.
///
/// The turn moves on from the position last chosen, so that a position that was unavailable for a
/// while neither catches up nor delays the others.
#[derive(Debug, Default)]
pub(crate) struct RoundRobin {
    /// The position whose turn it is.
    turn: usize,
}

impl RoundRobin {
    /// The next available position among `count`, or `None` if none is.
    pub(crate) fn pick(
        &mut self,
        count: usize,
        available: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let chosen = (0..count).map(|step| (self.turn + step) % count).find(|&at| available(at))?;
        self.turn = (chosen + 1) % count;
        Some(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_in_turn() {
        let mut schedule = RoundRobin::default();
        let picks: Vec<_> = (0..7).filter_map(|_| schedule.pick(3, |_| true)).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn passes_over_who_is_not_available_without_favour() {
        let mut schedule = RoundRobin::default();
        let picks: Vec<_> = (0..4).filter_map(|_| schedule.pick(3, |at| at != 1)).collect();
        assert_eq!(picks, [0, 2, 0, 2]);
    }

    #[test]
    fn nobody_available_is_none() {
        let mut schedule = RoundRobin::default();
        assert_eq!(schedule.pick(3, |_| false), None);
        assert_eq!(schedule.pick(0, |_| true), None);
    }

    #[test]
    fn survives_a_shrinking_count() {
        let mut schedule = RoundRobin::default();
        for _ in 0..4 {
            schedule.pick(8, |_| true);
        }
        assert_eq!(schedule.pick(2, |_| true), Some(0));
    }
}
