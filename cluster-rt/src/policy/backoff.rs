//! How long a slot waits before its next worker after the n-th failure in a row.
//!
//! Decides nothing about what a failure is: that is the supervisor's.

use std::time::Duration;

use crate::config::Backoff;

/// While no worker is ready nobody is served, so no delay may be longer than this.
pub(crate) const DELAY_WITHOUT_ANY_READY_MAX: Duration = Duration::from_secs(1);

/// The delay after `failures` failures in a row (1 or more), doubling from `first` to `longest`.
pub(crate) fn delay(backoff: Backoff, failures: u32, any_ready: bool) -> Duration {
    let doublings = failures.saturating_sub(1).min(30);
    let grown = backoff.first.saturating_mul(1 << doublings).min(backoff.longest);
    if any_ready { grown } else { grown.min(DELAY_WITHOUT_ANY_READY_MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(30) };

    #[test]
    fn doubles_up_to_the_longest() {
        let delays: Vec<_> = (1..=11).map(|n| delay(BACKOFF, n, true).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        assert_eq!(delay(BACKOFF, u32::MAX, true), Duration::from_secs(30));
    }

    #[test]
    fn never_above_a_second_while_nobody_is_ready() {
        assert_eq!(delay(BACKOFF, 9, false), Duration::from_secs(1));
    }
}
