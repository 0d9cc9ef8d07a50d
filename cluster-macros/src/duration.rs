//! The two notations of time: a duration, and the range of `backoff`.
//!
//! It knows texts, not tokens. Invariant: what is accepted here is what the documentation of the
//! attribute describes, and every refusal shows a text that would be accepted.

use std::time::Duration;

use crate::options::example;

/// The delays between two respawns: `first <= longest`, and `first` is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

/// The longest duration an option takes, here and in the runtime: far above any use, far below where
/// adding to a clock overflows.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// A duration as the option's documentation describes it, or the message that says so.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|_| {
        format!(
            "`{text}` is not a duration: write numbers with units, such as `\"250ms\"`, `\"25s\"` \
             or `\"1h30m\"`"
        )
    })?;
    if duration > DURATION_MAX {
        return Err(format!("`{text}` is too long: write at most `\"366days\"`"));
    }
    Ok(duration)
}

/// Two durations with `..` between them.
pub(crate) fn parse_backoff(text: &str) -> Result<Backoff, String> {
    let Some((first, longest)) = text.split_once("..") else {
        let example = example("backoff");
        return Err(format!("`backoff` takes two durations, the first and the longest: {example}"));
    };
    let (first, longest) = (parse_duration(first.trim())?, parse_duration(longest.trim())?);
    if first.is_zero() {
        return Err("the first delay of `backoff` must be longer than zero".to_owned());
    }
    if first > longest {
        return Err("the first delay of `backoff` is longer than the longest: swap them".to_owned());
    }
    Ok(Backoff { first, longest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("25s"), Ok(Duration::from_secs(25)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("366days"), Ok(DURATION_MAX));
        for wrong in ["", " ", "25", "-5s", "s", "soon", "5 parsecs", "1h30", "900000y"] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn backoff_is_a_growing_range_above_zero() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(30));
        assert_eq!(parse_backoff("100ms..30s"), Ok(Backoff { first, longest }));
        assert_eq!(parse_backoff("100ms .. 30s"), Ok(Backoff { first, longest }));
        assert_eq!(parse_backoff("30s..30s"), Ok(Backoff { first: longest, longest }));
        for wrong in ["", "1s", "..", "1s..", "..1s", "0s..1s", "2s..1s", "1s..=2s", "1s...2s"] {
            assert!(parse_backoff(wrong).is_err(), "{wrong:?}");
        }
    }
}
