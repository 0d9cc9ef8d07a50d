//! The memory of this process, made ready for forks: less of it, and in larger pages.
//!
//! Only advice: no content changes, and whatever the system refuses stays as it was.
#![allow(unsafe_code)]

use std::{
    fs,
    time::{Duration, Instant},
};

/// A fork copies the page table. A mapping smaller than this has little of one.
const MAPPING_BYTES_MIN: u64 = 4 << 20;

/// The large pages of x86-64 and, with 4 KiB pages, of AArch64. Elsewhere the kernel refuses the advice.
const LARGE_PAGE: u64 = 2 << 20;

/// One call's worth, so that the time is looked at between two.
const STEP: u64 = 16 * LARGE_PAGE;

/// Copying into large pages pays at every fork, but not at any price.
const COLLAPSE_TIME: Duration = Duration::from_secs(1);

/// Gives memory that the allocator holds and nobody uses back to the system, so that workers do not
/// inherit it. Only glibc has a call for that; other allocators keep theirs.
pub(crate) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) may be called at any time and touches free memory only.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

/// Puts large mappings that are in use throughout into large pages, of which a fork has to copy 512
/// times fewer entries. A process that writes to one afterwards gets a copy of 4 KiB, as otherwise
/// (Linux 5.8). The kernel can since 6.1; where somebody has switched large pages off they stay off.
pub(crate) fn collapse() {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let is_off = fs::read_to_string(path).map_or(true, |modes| modes.contains("[never]"));
    let Ok(smaps) = fs::read_to_string("/proc/self/smaps") else { return };
    if is_off {
        return;
    }
    let deadline = Instant::now() + COLLAPSE_TIME;
    for (start, end) in dense(&smaps) {
        let first = start.next_multiple_of(LARGE_PAGE);
        let last = end - end % LARGE_PAGE;
        for from in (first..last).step_by(STEP as usize) {
            if Instant::now() >= deadline {
                return;
            }
            advise_collapse(from, STEP.min(last - from));
        }
    }
}

fn advise_collapse(from: u64, length: u64) {
    /// `MADV_COLLAPSE` of `linux/mman.h`, which the libc crate has for some targets only.
    const MADV_COLLAPSE: i32 = 25;
    // SAFETY: the advice changes no content, and fails if there is no memory at the address.
    unsafe {
        nix::libc::madvise(from as *mut _, length as usize, MADV_COLLAPSE);
    }
}

/// Where the private anonymous mappings are (`smaps` in proc(5)) that are large and nearly all there:
/// large pages would fill the holes of others.
fn dense(smaps: &str) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        if let Some(resident) = line.strip_prefix("Rss:") {
            let Some((start, end)) = current.take() else { continue };
            let kilobytes = resident.trim().trim_end_matches("kB").trim().parse().unwrap_or(0);
            let (size, resident): (u64, u64) = (end - start, kilobytes);
            if size >= MAPPING_BYTES_MIN && resident * 1024 >= size / 16 * 15 {
                found.push((start, end));
            }
        } else if let Some(mapping) = anonymous(line) {
            current = Some(mapping);
        }
    }
    found
}

/// The addresses in the first line of a mapping, if it is anonymous, private and writable.
fn anonymous(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    let (start, end) = (address(start)?, address(end)?);
    let private = words.next()? == "rw-p";
    // Offset and device stand between.
    let no_file = words.nth(2)? == "0";
    let stack = words.next().is_some_and(|name| name.starts_with("[stack"));
    (private && no_file && !stack && start < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_anonymous_mappings_that_are_there_are_dense() {
        let smaps = "\
55d0c0000000-55d0c1000000 r--p 00000000 fe:00 42                         /app\n\
Size:              16384 kB\nRss:               16384 kB\nPss:               16384 kB\n\
7f0000000000-7f0001000000 rw-p 00000000 00:00 0 \n\
Size:              16384 kB\nRss:               16000 kB\n\
7f0002000000-7f0003000000 rw-p 00000000 00:00 0 \n\
Size:              16384 kB\nRss:               12000 kB\n\
7f0004000000-7f0004200000 rw-p 00000000 00:00 0                          [heap]\n\
Size:               2048 kB\nRss:                2048 kB\n\
7f0006000000-7f0007000000 rw-s 00000000 00:01 7                          /memfd:x (deleted)\n\
Rss:               16384 kB\n\
7f0008000000-7f0009000000 rw-p 00000000 00:00 0                          [heap]\n\
Rss:               16384 kB\n\
7ffc00000000-7ffc01000000 rw-p 00000000 00:00 0                          [stack]\n\
Rss:               16384 kB\nVmFlags: rd wr\n";
        let expected = [(0x7f00_0000_0000, 0x7f00_0100_0000), (0x7f00_0800_0000, 0x7f00_0900_0000)];
        assert_eq!(dense(smaps), expected);
    }

    #[test]
    fn what_is_in_memory_stays_what_it_was() {
        let table: Vec<u32> = (0..4 << 20).collect();
        trim();
        collapse();
        assert!(table.iter().zip(0..).all(|(&found, expected)| found == expected));
    }
}
