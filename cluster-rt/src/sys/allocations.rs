//! Counts what a thread allocates, so that a decoder can be held to a bound.
//!
//! There only in unit tests and fuzz targets, whose allocator it is. Invariant: what other threads do at the
//! same time changes no count.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// What this thread holds more than when the count began, and the most that it was.
#[derive(Clone, Copy)]
struct Held {
    now: isize,
    most: isize,
}

thread_local! {
    // Constant and without a destructor, so that the allocator never allocates for it.
    static HELD: Cell<Held> = const { Cell::new(Held { now: 0, most: 0 }) };
}

fn count(bytes: isize) {
    HELD.with(|held| {
        let now = held.get().now + bytes;
        held.set(Held { now, most: held.get().most.max(now) });
    });
}

/// What `work` returns, and the most bytes that it held at once.
pub(crate) fn most_held<T>(work: impl FnOnce() -> T) -> (T, usize) {
    HELD.set(Held { now: 0, most: 0 });
    let result = work();
    (result, HELD.get().most.unsigned_abs())
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call goes to `System` as it is, which keeps what `GlobalAlloc` asks for; counting neither
// allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the conditions of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the conditions of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the conditions of `dealloc`, and the block came from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller keeps the conditions of `realloc`, and the block came from `System`.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_was_held_at_once_is_told() {
        let (_, most) = most_held(|| {
            drop(vec![0_u8; 3000]);
            let mut kept = vec![0_u8; 1000];
            kept.reserve_exact(1000);
            kept
        });
        assert_eq!(most, 3000);
        assert_eq!(most_held(|| ()).1, 0);
    }
}
