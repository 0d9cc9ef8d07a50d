//! The preload as the zygote runs it: what it made may stay, what a fork would break may not.
//!
//! Threads do not exist in a forked process, and a socket would be one for all workers at once. Files
//! and memory are theirs to share. Invariant: a value is given only while this process has one thread.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{
    preload::Preload,
    sys::{descriptors, memory, process},
};

/// How long threads that are ending may take. The kernel lists one for a moment after it was joined.
const THREADS_END: Duration = Duration::from_secs(1);

/// Runs the preload and looks at what it has left.
///
/// # Errors
/// How it failed, or what it must not leave.
pub(super) fn preload<T: 'static>(preload: Preload<T>) -> Result<&'static T, String> {
    let before: BTreeSet<String> = sockets()?.into_iter().map(|(_, socket)| socket).collect();
    let value = preload.run()?;
    one_thread_again()?;
    let left = sockets()?.into_iter().filter(|(_, socket)| !before.contains(socket));
    let left: Vec<String> = left.map(|(number, _)| descriptors::describe(number)).collect();
    if !left.is_empty() {
        return Err(format!(
            "preload left sockets open, which all workers would share: {}; open them in main, which \
             runs in each worker (a tokio runtime that does I/O keeps a pair of its own for ever)",
            left.join(", ")
        ));
    }
    memory::trim();
    memory::collapse();
    Ok(value)
}

fn sockets() -> Result<Vec<(i32, String)>, String> {
    descriptors::sockets().map_err(|error| format!("/proc/self/fd: {error}"))
}

fn one_thread_again() -> Result<(), String> {
    let deadline = Instant::now() + THREADS_END;
    loop {
        // Fails if a thread ends while its name is read.
        let threads = process::threads();
        if threads.as_ref().is_ok_and(|threads| threads.len() == 1) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let threads = threads.map_err(|error| format!("/proc/self/task: {error}"))?;
            return Err(format!(
                "preload left threads running, which would not exist in workers: {}; start them in \
                 main, which runs in each worker",
                threads[1..].join(", ")
            ));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}
