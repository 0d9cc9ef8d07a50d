//! The requests that are not over: who has asked, who is to answer, and how many each has.
//!
//! Plain data. Each process has its counts, so that nothing but the end of a worker looks at all requests. One
//! whose asker waits no longer still counts for whoever is to answer, until that one has answered or dropped it:
//! it may be at work on it. Bounded by `OPEN_REQUESTS_MAX` for each worker that asks, and as many that nobody waits
//! for at each that is to answer.

use std::collections::HashMap;

use crate::{
    id::WorkerId,
    mail::{OPEN_REQUESTS_MAX, Place},
};

/// Who has asked, and the number by which the asker tells its requests apart.
pub(super) type Asking = (Place, u64);

#[derive(Debug, Default)]
pub(super) struct Requests {
    open: HashMap<Asking, Open>,
    counts: HashMap<Place, Count>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    /// Who is to answer.
    by: Place,
    /// Nobody waits for the answer.
    abandoned: bool,
}

/// The requests of one process.
#[derive(Debug, Default)]
struct Count {
    /// It waits for the answers of so many.
    awaited: usize,
    /// It is to answer so many, those included that nobody waits for.
    unanswered: usize,
    abandoned: usize,
}

/// What the end of a worker means for requests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Orphans {
    /// It was to answer them, and somebody waits.
    pub(super) asked: Vec<Asking>,
    /// It has asked them, and who is to answer.
    pub(super) abandoned: Vec<(Asking, Place)>,
}

impl Requests {
    /// A request is on its way to `by`; whether there is room for it.
    pub(super) fn begin(&mut self, asking: Asking, by: Place) -> bool {
        // Of the master's own its office has kept count.
        let is_worker = matches!(asking.0, Place::Worker(_));
        let awaited = self.counts.get(&asking.0).map_or(0, |count| count.awaited);
        if is_worker && awaited >= OPEN_REQUESTS_MAX {
            return false;
        }
        // A number that is used again is the asker's mistake, and is not to be counted twice.
        self.remove(asking);
        self.open.insert(asking, Open { by, abandoned: false });
        self.count(asking.0).awaited += 1;
        self.count(by).unanswered += 1;
        true
    }

    /// `by` has answered, or will not; whether it was to, and somebody waits for that.
    pub(super) fn end(&mut self, asking: Asking, by: Place) -> bool {
        if self.open.get(&asking).is_none_or(|open| open.by != by) {
            return false;
        }
        self.remove(asking).is_some_and(|open| !open.abandoned)
    }

    /// Whether somebody waits for an answer of `by`.
    pub(super) fn is_awaited(&self, asking: Asking, by: Place) -> bool {
        self.open.get(&asking).is_some_and(|open| open.by == by && !open.abandoned)
    }

    /// The asker waits no longer; returns who is to answer, if it did so far.
    pub(super) fn abandon(&mut self, asking: Asking) -> Option<Place> {
        let &Open { by, abandoned: false } = self.open.get(&asking)? else { return None };
        if self.count(by).abandoned >= OPEN_REQUESTS_MAX {
            self.remove(asking);
        } else {
            self.count(by).abandoned += 1;
            self.count(asking.0).awaited -= 1;
            self.open.insert(asking, Open { by, abandoned: true });
        }
        Some(by)
    }

    /// How many requests a worker has not answered.
    pub(super) fn unanswered(&self, worker: WorkerId) -> usize {
        self.counts.get(&Place::Worker(worker)).map_or(0, |count| count.unanswered)
    }

    /// A worker has ended: it answers no more, and waits for nothing.
    pub(super) fn ended(&mut self, worker: WorkerId) -> Orphans {
        let me = Place::Worker(worker);
        let of = |belongs: &dyn Fn(Place, Place) -> bool| -> Vec<Asking> {
            let open = self.open.iter().filter(|(asking, open)| belongs(asking.0, open.by));
            open.map(|(&asking, _)| asking).collect()
        };
        let (to_it, its_own) = (of(&|_, by| by == me), of(&|asker, by| asker == me && by != me));
        let mut orphans = Orphans::default();
        for asking in to_it {
            let awaited = self.remove(asking).is_some_and(|open| !open.abandoned);
            if awaited && asking.0 != me {
                orphans.asked.push(asking);
            }
        }
        for asking in its_own {
            orphans.abandoned.extend(self.abandon(asking).map(|by| (asking, by)));
        }
        self.counts.remove(&me);
        orphans
    }

    fn count(&mut self, place: Place) -> &mut Count {
        self.counts.entry(place).or_default()
    }

    fn remove(&mut self, asking: Asking) -> Option<Open> {
        let open = self.open.remove(&asking)?;
        self.count(open.by).unanswered -= 1;
        match open.abandoned {
            true => self.count(open.by).abandoned -= 1,
            false => self.count(asking.0).awaited -= 1,
        }
        Some(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: WorkerId = WorkerId(1);
    const B: WorkerId = WorkerId(2);

    fn worker(id: WorkerId) -> Place {
        Place::Worker(id)
    }

    #[test]
    fn whatever_ends_a_request_it_counts_no_more() {
        let mut requests = Requests::default();
        for number in 0..4 {
            assert!(requests.begin((worker(A), number), worker(B)));
        }
        assert_eq!((requests.unanswered(A), requests.unanswered(B)), (0, 4));
        assert!(!requests.end((worker(A), 0), worker(A)), "not whom it asked");
        let is_awaited = |requests: &Requests, by| requests.is_awaited((worker(A), 1), worker(by));
        assert!(is_awaited(&requests, B) && !is_awaited(&requests, A));
        assert!(requests.end((worker(A), 0), worker(B)));
        assert!(!requests.end((worker(A), 0), worker(B)), "once");
        assert_eq!(requests.unanswered(B), 3);
        // Given up, it is still at work on it.
        assert_eq!(requests.abandon((worker(A), 1)), Some(worker(B)));
        assert_eq!(requests.abandon((worker(A), 1)), None, "once");
        assert!(!is_awaited(&requests, B));
        assert_eq!(requests.unanswered(B), 3);
        assert!(!requests.end((worker(A), 1), worker(B)), "nobody waits");
        assert_eq!(requests.unanswered(B), 2);
        // So it is with those of an asker that has ended.
        let mut orphans = requests.ended(A);
        orphans.abandoned.sort_unstable();
        assert_eq!(orphans.abandoned, [2, 3].map(|number| ((worker(A), number), worker(B))));
        assert_eq!((orphans.asked, requests.unanswered(B)), (vec![], 2));
        assert!(!requests.end((worker(A), 2), worker(B)));
        assert_eq!(requests.unanswered(B), 1);
        assert_eq!(requests.ended(B), Orphans::default());
        assert_eq!(requests.unanswered(B), 0);
        assert!(requests.open.is_empty() && requests.counts.is_empty());
    }

    #[test]
    fn those_who_wait_for_a_worker_that_has_ended_are_told() {
        let mut requests = Requests::default();
        for number in 0..2 {
            assert!(requests.begin((Place::Master, number), worker(B)));
        }
        assert!(requests.begin((worker(B), 0), worker(B)), "a worker may ask itself");
        requests.abandon((Place::Master, 0));
        assert_eq!(requests.ended(B).asked, [(Place::Master, 1)]);
        assert!(requests.open.is_empty());
        assert_eq!(requests.unanswered(B), 0);
    }

    #[test]
    fn a_number_that_is_used_again_counts_once() {
        let mut requests = Requests::default();
        for by in [A, A, B] {
            assert!(requests.begin((worker(A), 7), worker(by)));
        }
        assert_eq!((requests.unanswered(A), requests.unanswered(B)), (0, 1));
        assert!(requests.end((worker(A), 7), worker(B)));
        assert_eq!(requests.counts.values().map(|count| count.awaited).sum::<usize>(), 0);
    }

    #[test]
    fn what_nobody_waits_for_has_a_bound_too() {
        let mut requests = Requests::default();
        let most = OPEN_REQUESTS_MAX as u64;
        for number in 0..2 * most {
            assert!(requests.begin((worker(A), number), worker(B)));
            requests.abandon((worker(A), number));
        }
        assert_eq!(requests.unanswered(B), OPEN_REQUESTS_MAX);
        assert_eq!(requests.open.len(), OPEN_REQUESTS_MAX);
    }
}
