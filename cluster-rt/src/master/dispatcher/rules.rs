//! How a listener's connections are shared, as its workers ask for it, and whose word holds when they differ.
//!
//! Decides, and changes nothing; `listening/follow` does. Invariant: two generations that take turns during a reload
//! cannot make a listener change back and forth; the newest one that accepts is followed.

use std::sync::Arc;

use crate::{endpoint::Schedule, wire::Peeking};

/// What holds for all the connections of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::master) struct Rules {
    pub(in crate::master) schedule: Schedule,
    /// Connections that no worker has room for are closed, and do not wait.
    pub(in crate::master) close_excess: bool,
    /// For `Schedule::ByKey`.
    pub(in crate::master) peek: Option<Peeking>,
}

/// Of what the workers that accept ask, each with its generation, that which holds.
pub(super) fn in_force<'a>(
    asked: impl Iterator<Item = (u32, &'a Arc<Rules>)>,
) -> Option<(u32, &'a Arc<Rules>)> {
    asked.max_by_key(|(generation, _)| *generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(schedule: Schedule) -> Arc<Rules> {
        Arc::new(Rules { schedule, close_excess: false, peek: None })
    }

    #[test]
    fn the_newest_generation_is_followed_whoever_came_last() {
        let (old, new) = (rules(Schedule::RoundRobin), rules(Schedule::Sticky));
        let asked = [(1, &old), (2, &new), (1, &old)];
        assert_eq!(in_force(asked.into_iter()), Some((2, &new)));
        assert_eq!(in_force([(1, &old)].into_iter()), Some((1, &old)));
        assert_eq!(in_force([].into_iter()), None);
    }
}
