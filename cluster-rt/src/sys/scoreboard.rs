//! The scoreboard: a row of counters for every worker, in memory that master and workers share.
//!
//! The master only reads, and believes nothing: a worker can write anything anywhere in it, so every
//! value is an estimate and is clamped where it is used. It has no header that could be overwritten. The file behind
//! it is sealed against changes of size, so that no access can fault. The layout is part of `wire::PROTOCOL_VERSION`.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create},
    mm::{MapFlags, ProtFlags, mmap},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// Rows, and so workers that can live at once.
pub(crate) const ROWS: usize = 1024;

/// What one worker says of itself. A row has two cache lines to itself, since processors fetch lines
/// in pairs: workers do not slow each other down.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Row {
    /// Connections open in the worker. Counted before one is received, so never too low.
    pub(crate) active: AtomicU64,
    /// Connections closed.
    pub(crate) served: AtomicU64,
    /// The heartbeat: counted up by a task of the worker's runtime; 0 before the first.
    pub(crate) beat: AtomicU64,
    /// Messages that came and could not be read.
    pub(crate) unread: AtomicU64,
    /// Changes while messages wait for a mailbox that is full and read from.
    pub(crate) reads: AtomicU64,
}

#[derive(Debug)]
#[repr(C, align(128))]
struct Board {
    rows: [Row; ROWS],
}

/// A mapping of the scoreboard, which lasts as long as the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scoreboard(&'static Board);

impl Scoreboard {
    /// Makes a scoreboard; the descriptor is for those who are to share it.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        let fd =
            memfd_create("cluster-scoreboard", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        resize(&fd, size_of::<Board>() as u64)?;
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let scoreboard = Self::map(&fd)?;
        Ok((scoreboard, fd))
    }

    /// Maps the scoreboard behind `fd`.
    ///
    /// # Errors
    /// If it is not one, or not one of this layout.
    pub(crate) fn open(fd: impl AsFd) -> io::Result<Self> {
        let sealed = fcntl_get_seals(&fd)?.contains(SealFlags::SHRINK);
        if !sealed || fstat(&fd)?.st_size != size_of::<Board>() as i64 {
            return Err(io::Error::other("not a scoreboard of this version"));
        }
        Self::map(fd)
    }

    /// A scoreboard of one process.
    pub(crate) fn private() -> Self {
        let rows = [const { Row::new() }; ROWS];
        Self(Box::leak(Box::new(Board { rows })))
    }

    fn map(fd: impl AsFd) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choosing, of a file of exactly this size.
        let address = unsafe {
            mmap(std::ptr::null_mut(), size_of::<Board>(), protection, MapFlags::SHARED, fd, 0)
        }?;
        let board = NonNull::new(address.cast::<Board>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: mapped and never unmapped; page-aligned; sealed against shrinking, so every access
        // stays inside the file; any bytes are valid atomics, and only atomics are accessed.
        Ok(Self(unsafe { board.as_ref() }))
    }

    /// The row with this number.
    pub(crate) fn row(self, number: u32) -> Option<&'static Row> {
        self.0.rows.get(number as usize)
    }
}

/// Gives a file its size, also where the limit of file sizes, which goes for memory too (`setrlimit(2)`), says
/// that this process writes no files: for that moment it is raised.
fn resize(fd: &OwnedFd, bytes: u64) -> io::Result<()> {
    let limit = getrlimit(Resource::Fsize);
    if limit.current.is_none_or(|current| current >= bytes) {
        return Ok(ftruncate(fd, bytes)?);
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(bytes));
    let raised = Rlimit { current: Some(bytes), maximum };
    setrlimit(Resource::Fsize, raised).map_err(|error| {
        io::Error::other(format!(
            "{error}: it takes {} KiB, and the limit of file sizes (`ulimit -f`, systemd's LimitFSIZE) is below",
            bytes / 1024
        ))
    })?;
    let resized = ftruncate(fd, bytes);
    // What was allowed before is.
    let _ = setrlimit(Resource::Fsize, limit);
    Ok(resized?)
}

impl Row {
    pub(crate) const fn new() -> Self {
        let [active, served, beat, unread, reads] = [const { AtomicU64::new(0) }; 5];
        Self { active, served, beat, unread, reads }
    }

    /// Makes the row fit for its next worker.
    pub(crate) fn clear(&self) {
        self.active.store(0, Ordering::Relaxed);
        self.served.store(0, Ordering::Relaxed);
        self.beat.store(0, Ordering::Relaxed);
        self.unread.store(0, Ordering::Relaxed);
        self.reads.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_share_their_rows() {
        let (here, fd) = Scoreboard::create().expect("a scoreboard");
        let there = Scoreboard::open(&fd).expect("the same scoreboard");
        there.row(3).expect("a row").active.store(7, Ordering::Relaxed);
        assert_eq!(here.row(3).expect("a row").active.load(Ordering::Relaxed), 7);
        assert!(here.row(ROWS as u32).is_none());
    }

    #[test]
    fn another_file_is_refused() {
        let fd = memfd_create("x", MemfdFlags::CLOEXEC).expect("a memfd");
        assert!(Scoreboard::open(&fd).is_err());
    }
}
