//! Whether a cluster can start where `run` was called: on the first thread of a process that has no other, outside a
//! runtime, and once.
//!
//! Looks only. Each of these would come to light later in every zygote again, or not at all.

use std::time::{Duration, Instant};

use crate::{master, sys::process, zygote};

/// How long a thread that was joined may take to disappear.
const THREADS_END: Duration = Duration::from_millis(100);

/// What is wrong with the place, and what helps; `alone` is `workers = 0`.
pub(super) fn refusal(alone: bool) -> Option<String> {
    if tokio::runtime::Handle::try_current().is_ok() {
        let text = "start: run was called inside a tokio runtime, and each worker starts its own: call it from a \
                    plain `fn main` (without #[tokio::main])";
        return Some(text.to_owned());
    }
    if alone {
        return None;
    }
    if master::is_master() {
        let text = "start: this process is the master of a cluster already: one process has one";
        return Some(text.to_owned());
    }
    if !process::is_first_thread() {
        let text = "start: run was called on another thread than the first, which alone can fork and reap: call it in \
                    main (in a test, with `workers(0)`: then everything is in one process)";
        return Some(text.to_owned());
    }
    one_thread().err().map(|reason| format!("start: {reason}"))
}

/// A thread that was joined a moment ago may be listed still.
fn one_thread() -> Result<(), String> {
    let deadline = Instant::now() + THREADS_END;
    loop {
        let counted = zygote::one_thread();
        if counted.is_ok() || Instant::now() >= deadline {
            return counted;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
