//! For how long others wait for a receiver that is full, and what follows: it alone lags.
//!
//! Pure: time is an argument. A receiver that takes anything at all is never given up; one that takes
//! nothing for [`PATIENCE`] misses what comes until it has taken everything that was there.

use std::time::{Duration, Instant};

/// How long a full receiver may take nothing before it lags.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// What to do with something for a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Deliver,
    /// Try again when it has taken something, or at this time.
    Wait(Instant),
    /// It lags: drop and count.
    Drop,
}

#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// Since when somebody waits and the receiver has taken nothing.
    waited_since: Option<Instant>,
    lagging: bool,
}

impl Patience {
    pub(crate) fn judge(&mut self, has_room: bool, now: Instant) -> Verdict {
        if self.lagging {
            return Verdict::Drop;
        }
        if has_room {
            self.waited_since = None;
            return Verdict::Deliver;
        }
        let until = *self.waited_since.get_or_insert(now) + PATIENCE;
        if now < until {
            return Verdict::Wait(until);
        }
        self.lagging = true;
        Verdict::Drop
    }

    pub(crate) fn is_lagging(&self) -> bool {
        self.lagging
    }

    /// The receiver took something. Whether somebody waits for that.
    pub(crate) fn progressed(&mut self, now: Instant) -> bool {
        let waited = self.waited_since.is_some();
        self.waited_since = self.waited_since.map(|_| now);
        waited
    }

    /// The receiver has taken everything. Whether it lagged until now.
    pub(crate) fn caught_up(&mut self) -> bool {
        self.waited_since = None;
        std::mem::take(&mut self.lagging)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_receiver_is_waited_for_while_it_takes_anything() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        assert_eq!(patience.judge(true, start), Verdict::Deliver);
        for step in 0..10 {
            let now = start + PATIENCE * step / 2;
            assert!(matches!(patience.judge(false, now), Verdict::Wait(_)));
            assert!(patience.progressed(now));
        }
        assert_eq!(patience.judge(true, start + PATIENCE * 9), Verdict::Deliver);
    }

    #[test]
    fn one_that_takes_nothing_lags_until_it_has_caught_up() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        assert_eq!(patience.judge(false, start), Verdict::Wait(start + PATIENCE));
        assert_eq!(patience.judge(false, start + PATIENCE), Verdict::Drop);
        // Room alone is not enough: there would be many small gaps instead of one.
        assert_eq!(patience.judge(true, start + PATIENCE), Verdict::Drop);
        assert!(patience.caught_up());
        assert_eq!(patience.judge(true, start + PATIENCE), Verdict::Deliver);
        assert!(!patience.caught_up());
    }
}
