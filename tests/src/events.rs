//! The events that a fixture program printed, as `event TEXT`: who, and what in which order.

use std::collections::BTreeMap;

/// The order in which a worker's events come, each at most once.
const ORDER: [&str; 7] =
    ["spawned", "online", "listens", "ready", "draining", "disconnected", "exited"];

/// The worker and the place of its event in the order.
fn parse(line: &str) -> Option<(u64, usize)> {
    let (_, rest) = line.strip_prefix("event ")?.split_once("worker ")?;
    let (worker, what) = rest.split_once(") ")?;
    let worker = worker.split(',').next()?.parse().ok()?;
    Some((worker, ORDER.iter().position(|kind| what.starts_with(kind))?))
}

/// Checks that every worker's events came in the documented order, each once, from `spawned` on, and
/// `disconnected` just before `exited`. Returns how many workers there were.
///
/// # Panics
/// If not.
pub fn assert_in_order(lines: &[String]) -> usize {
    let mut last: BTreeMap<u64, usize> = BTreeMap::new();
    for (worker, place) in lines.iter().filter_map(|line| parse(line)) {
        let (before, kind) = (last.insert(worker, place), ORDER[place]);
        assert!(
            before.is_none_or(|before| before < place),
            "worker {worker}: {kind} again or late"
        );
        assert!(before.is_some() || place == 0, "worker {worker} begins with {kind}");
        assert!(
            kind != "exited" || before == Some(place - 1),
            "worker {worker}: {before:?}, {kind}"
        );
    }
    assert!(!lines.iter().any(|line| line.contains("events dropped")), "events were missed");
    last.len()
}
