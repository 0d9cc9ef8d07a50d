//! The floor of system calls: what the rest of the crate needs of Linux, in safe functions.
//!
//! The contract of every file here: descriptors come and go as `OwnedFd` and are CLOEXEC from birth;
//! EINTR is retried; an error keeps its `errno`; nothing here knows tokio, a worker's slot or a policy.
//! The only files of the project that may say `unsafe` are here.

pub(crate) mod affinity;
#[cfg(any(test, fuzzing))]
pub(crate) mod allocations;
pub(crate) mod bpf;
pub(crate) mod child;
pub(crate) mod credentials;
pub(crate) mod descriptors;
pub(crate) mod fdpass;
pub(crate) mod fork;
pub(crate) mod inherited;
pub(crate) mod memory;
pub(crate) mod passing;
pub(crate) mod process;
pub(crate) mod scoreboard;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod stderr;
pub(crate) mod unix;
pub(crate) mod wait;
pub(crate) mod wake;
