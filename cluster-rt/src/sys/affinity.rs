//! On which processors this thread runs.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps this thread, and those that it starts, on the `n`-th of the processors that it may use now,
/// counted from 0 in the kernel's order and round again. Limits of a cpuset are among "may".
pub(crate) fn pin(n: usize) -> io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let processors: Vec<usize> =
        (0..CpuSet::MAX_CPU).filter(|&processor| allowed.is_set(processor)).collect();
    let Some(&processor) = processors.get(n % processors.len().max(1)) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let mut only = CpuSet::new();
    only.set(processor);
    Ok(sched_setaffinity(None, &only)?)
}
