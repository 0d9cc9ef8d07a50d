//! The limits past which a worker is replaced, drawn for each worker so that those that were born
//! together are not replaced together.
//!
//! Randomness is an argument; whether a limit is passed is the supervisor's to see.

use std::time::Duration;

use crate::config::Recycle;

/// The limits of one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) connections: Option<u64>,
    pub(crate) age: Option<Duration>,
    pub(crate) rss: Option<u64>,
}

/// Draws the limits of the worker with this number: shorter than what is configured by up to the
/// jitter, and never longer.
pub(crate) fn draw(recycle: &Recycle, seed: u64, worker: u64) -> Limits {
    let part = 1.0 - recycle.jitter.clamp(0.0, 1.0) * share(seed, worker);
    let scaled = |limit: u64| ((limit as f64 * part).round() as u64).max(1);
    Limits {
        connections: recycle.connections.map(scaled),
        age: recycle.age.map(|age| age.mul_f64(part)),
        rss: recycle.rss.map(scaled),
    }
}

/// A number from 0 to 1, by the finalizer of splitmix64 (Steele, Lea and Flood, 2014).
fn share(seed: u64, worker: u64) -> f64 {
    let mut z = seed.wrapping_add(worker.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    // 53 bits are what a double holds.
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_spread_below_what_is_configured() {
        let recycle = Recycle::new().connections(1000).age(Duration::from_secs(3600)).jitter(0.1);
        let drawn: Vec<Limits> = (1..=100).map(|worker| draw(&recycle, 7, worker)).collect();
        for limits in &drawn {
            assert!((900..=1000).contains(&limits.connections.expect("a limit")));
            let age = limits.age.expect("a limit").as_secs();
            assert!((3240..=3600).contains(&age), "{age}");
            assert_eq!(limits.rss, None);
        }
        let mut connections: Vec<_> = drawn.iter().map(|limits| limits.connections).collect();
        connections.sort_unstable();
        connections.dedup();
        assert!(connections.len() > 50, "a hundred workers do not share a few limits");
    }

    #[test]
    fn without_jitter_the_limit_is_the_limit() {
        let recycle = Recycle::new().connections(1000).jitter(0.0);
        assert_eq!(draw(&recycle, 7, 3).connections, Some(1000));
    }
}
