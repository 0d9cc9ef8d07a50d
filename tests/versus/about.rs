//! What was measured where, and with which versions.

use std::{fmt::Write, fs};

use crate::{figures::About, peers::Contestant, programs::version, rounds::Extent};

/// Before anything is measured.
pub(crate) fn now(contestants: &[Contestant], skipped: Vec<String>, extent: &Extent) -> About {
    let (machine, rounds) = (machine(contestants), extent.rounds);
    About { machine, rounds, loads: [load(), 0.0], skipped, seconds: 0.0 }
}

/// The load average of the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

fn machine(contestants: &[Contestant]) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut out = format!("{cores} cores, Linux {}", kernel.trim());
    let mut programs: Vec<_> = contestants.iter().filter_map(|c| c.peer.needs()).collect();
    programs.push(("wrk", "-v"));
    programs.dedup();
    for (program, argument) in programs {
        match version(program, argument) {
            Some(version) if version.contains(program) => {
                // Some say more than their version.
                let words: Vec<&str> = version.split(' ').take(3).collect();
                let _ = write!(out, "; {}", words.join(" "));
            }
            Some(version) => {
                let _ = write!(out, "; {program} {version}");
            }
            None => out += "; no wrk: nothing is measured with connections that are kept",
        }
    }
    out
}
