//! The memory of the workers, as the kernel tells it, for the statistics.
//!
//! Slow, so it is never done on the supervisor's thread.

use crate::{stats::Stats, sys::process};

/// Fills in what each worker takes. One that has ended meanwhile has nothing.
pub(super) fn measure(stats: &mut Stats) {
    for slot in &mut stats.slots {
        let memory = slot.pid.and_then(process::memory);
        (slot.rss, slot.pss) = memory.map_or((None, None), |(rss, pss)| (Some(rss), Some(pss)));
    }
}
