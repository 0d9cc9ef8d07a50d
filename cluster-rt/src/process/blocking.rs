//! The same for code that has no runtime: waits on the calling thread.

use super::{Command, Error, Output, error::Cause};

/// Runs the command on a runtime of its own, on a thread of its own: the caller's may be one of another
/// runtime, where a second one cannot be.
pub(super) fn output(command: Command) -> Result<Output, Error> {
    let text = command.text();
    let failed = |operation| move |error| Error::new(text, Cause::Os { operation, error });
    let run = std::thread::Builder::new().name("cluster-process".to_owned()).spawn(move || {
        let text = command.text();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Error::new(text, Cause::Os { operation: "runtime", error }))?;
        runtime.block_on(command.output())
    });
    let thread = run.map_err(failed("thread"))?;
    // A panic there is one here.
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
