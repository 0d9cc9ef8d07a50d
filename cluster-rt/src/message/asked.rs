//! The requests of this process that are not answered yet.
//!
//! Bounded by `OPEN_REQUESTS_MAX`. An entry ends with its answer, its failure, its deadline or its asker,
//! whichever is first. Deadlines are kept by the office's thread, so that a request needs no timer of
//! the runtime it is awaited on.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::oneshot;

use crate::{
    mail::{Failure, OPEN_REQUESTS_MAX},
    sys::wake::Wake,
};

/// How a request ended.
#[derive(Debug)]
pub(super) enum Answer {
    Reply {
        fingerprint: u64,
        generation: u32,
        payload: Vec<u8>,
    },
    Failed(Failure),
    TimedOut {
        /// Nobody had subscribed to it when it came.
        unheard: bool,
    },
}

#[derive(Debug)]
pub(super) struct Asked {
    state: Mutex<State>,
    wake: Wake,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    open: HashMap<u64, Open>,
    /// When the thread looks next. It may find nothing, but it never comes too late.
    look_at: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    deadline: Instant,
    unheard: bool,
    answer: oneshot::Sender<Answer>,
}

impl Asked {
    pub(super) fn new(wake: Wake) -> Self {
        Self { state: Mutex::default(), wake }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a request, and where its answer will come; `None` if too many are open.
    pub(super) fn open(&self, deadline: Instant) -> Option<(u64, oneshot::Receiver<Answer>)> {
        let mut state = self.lock();
        if state.open.len() >= OPEN_REQUESTS_MAX {
            return None;
        }
        state.last += 1;
        let request = state.last;
        let (answer, receiver) = oneshot::channel();
        state.open.insert(request, Open { deadline, unheard: false, answer });
        self.look_by(&mut state, deadline);
        Some((request, receiver))
    }

    pub(super) fn set_deadline(&self, request: u64, deadline: Instant) {
        let mut state = self.lock();
        if let Some(open) = state.open.get_mut(&request) {
            open.deadline = deadline;
            self.look_by(&mut state, deadline);
        }
    }

    /// Nobody had subscribed to it when it came.
    pub(super) fn note_unheard(&self, request: u64) {
        if let Some(open) = self.lock().open.get_mut(&request) {
            open.unheard = true;
        }
    }

    /// The thread is woken only if it would come too late: with deadlines all alike, hardly ever.
    fn look_by(&self, state: &mut State, deadline: Instant) {
        if state.look_at.is_none_or(|at| deadline < at) {
            state.look_at = Some(deadline);
            self.wake.ring();
        }
    }

    /// Its asker has gone away. Whether it was open.
    pub(super) fn forget(&self, request: u64) -> bool {
        self.lock().open.remove(&request).is_some()
    }

    pub(super) fn answer(&self, request: u64, fingerprint: u64, generation: u32, payload: &[u8]) {
        self.end(request, || Answer::Reply { fingerprint, generation, payload: payload.to_vec() });
    }

    pub(super) fn fail(&self, request: u64, failure: Failure) {
        self.end(request, || Answer::Failed(failure));
    }

    fn end(&self, request: u64, answer: impl FnOnce() -> Answer) {
        let open = self.lock().open.remove(&request);
        if let Some(open) = open {
            // Who asked may have gone away just now.
            let _ = open.answer.send(answer());
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.lock().look_at
    }

    /// Ends those whose deadline has come, and tells which.
    pub(super) fn expire(&self, now: Instant) -> Vec<u64> {
        let mut state = self.lock();
        if state.look_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let over: Vec<u64> =
            state.open.iter().filter(|(_, o)| o.deadline <= now).map(|(&id, _)| id).collect();
        let ended: Vec<Open> = over.iter().filter_map(|id| state.open.remove(id)).collect();
        state.look_at = state.open.values().map(|open| open.deadline).min();
        // Who is woken may ask anew.
        drop(state);
        for open in ended {
            let _ = open.answer.send(Answer::TimedOut { unheard: open.unheard });
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_entry_ends_in_one_way_and_leaves_nothing() {
        let asked = Asked::new(Wake::new().expect("eventfd"));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (first, mut answer) = asked.open(at(5)).expect("room");
        let (second, mut other) = asked.open(at(1)).expect("room");
        assert_eq!(asked.next_deadline(), Some(at(1)));
        assert_eq!(asked.expire(at(0)), []);
        assert_eq!(asked.expire(at(1)), [second]);
        assert!(matches!(other.try_recv(), Ok(Answer::TimedOut { unheard: false })));
        assert_eq!(asked.next_deadline(), Some(at(5)));
        asked.fail(first, Failure::Gone);
        asked.fail(first, Failure::Dropped);
        assert!(matches!(answer.try_recv(), Ok(Answer::Failed(Failure::Gone))));
        assert!(!asked.forget(first));
        assert_eq!(asked.expire(at(9)), []);
        assert_eq!(asked.next_deadline(), None);
    }

    #[test]
    fn there_are_no_more_than_the_bound() {
        let asked = Asked::new(Wake::new().expect("eventfd"));
        let deadline = Instant::now();
        let kept: Vec<_> = (0..OPEN_REQUESTS_MAX).map(|_| asked.open(deadline)).collect();
        assert!(kept.iter().all(Option::is_some));
        assert!(asked.open(deadline).is_none());
        assert!(asked.forget(1));
        assert!(asked.open(deadline).is_some());
    }
}
