//! How `main` is run: on a runtime of its own, or with `blocking` on the process's main thread.
//!
//! From the moment before it to its exit code; what is before and after is the worker's life in `mod`.

use std::{
    future::Future,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::Termination,
    thread,
    time::Duration,
};

use super::{Current, PANICKED, drain::LOOK_INTERVAL, heartbeat};
use crate::{config::Flavor, wire::FromWorker};

/// What the options say of the runtime.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) flavor: Flavor,
    /// For `Flavor::MultiThread`.
    pub(super) threads: usize,
    /// How often to give a sign of life; `None` if nobody looks.
    pub(super) heartbeat: Option<Duration>,
}

/// A `main` that can be run.
pub(crate) trait Body {
    /// Runs it to its end, which may be that of the drain; returns its exit code.
    #[doc(hidden)]
    fn run(self, current: &'static Current, setting: RunSetting) -> io::Result<i32>;

    /// Whether it can be a worker of this service.
    #[doc(hidden)]
    fn has(&self, service: Option<&str>) -> bool {
        service.is_none()
    }
}

/// [`Setting`], for the callers of this module alone.
#[derive(Debug)]
pub(crate) struct RunSetting(pub(super) Setting);

/// An `async fn main`.
#[derive(Debug)]
pub(crate) struct OnRuntime<F>(pub(crate) F);

/// A `fn main` of `blocking`.
#[derive(Debug)]
pub(crate) struct OnThread<F>(pub(crate) F);

/// One service, ready to run.
pub(crate) type Run = Box<dyn FnOnce(&'static Current, RunSetting) -> io::Result<i32>>;

/// The functions of services, by name, of which a worker runs one.
pub(crate) struct OfServices(pub(crate) Vec<(&'static str, Run)>);

impl Body for OfServices {
    fn run(self, current: &'static Current, setting: RunSetting) -> io::Result<i32> {
        let own = self.0.into_iter().find(|(name, _)| Some(*name) == current.identity.service);
        let (_, run) = own.ok_or_else(|| io::Error::other("this program has no such service"))?;
        run(current, setting)
    }

    fn has(&self, service: Option<&str>) -> bool {
        self.0.iter().any(|(name, _)| Some(*name) == service)
    }
}

impl<F, Fut> Body for OnRuntime<F>
where
    F: FnOnce() -> Fut,
    Fut: Future,
    Fut::Output: Termination,
{
    fn run(self, current: &'static Current, RunSetting(setting): RunSetting) -> io::Result<i32> {
        let main = self.0;
        let main = async {
            current.tell(&FromWorker::Online);
            if let Some(interval) = setting.heartbeat {
                tokio::spawn(heartbeat::beat(current.accounts.row(), interval));
            }
            let report = tokio::select! {
                output = main() => exit_code(output),
                // Only if main takes no notice of the drain.
                () = current.drain.over() => 0,
            };
            // Tasks of their own may still serve connections when main has returned.
            if current.drain.is_draining() {
                current.drain.connections_closed().await;
            }
            report
        };
        // A task that blocks keeps the runtime from its end, for ever if it likes: the master is told before,
        // and has a deadline.
        let over = |(code, panicked)| current.tell(&FromWorker::Ended { code, panicked });
        block_on(setting, main, over)
    }
}

impl<F, Out> Body for OnThread<F>
where
    F: FnOnce() -> Out,
    Out: Termination,
{
    fn run(self, current: &'static Current, _: RunSetting) -> io::Result<i32> {
        // Nobody could leave a main that takes no notice of the drain but the process itself.
        current.drain.end_by_exit();
        current.tell(&FromWorker::Online);
        let code = exit_code((self.0)());
        // Threads of their own may still serve connections when main has returned.
        while current.drain.is_draining() && current.accounts.active() > 0 {
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(code)
    }
}

/// Runs `main` to its end, tells `over` its code and whether it panicked, and then ends the runtime.
fn block_on(
    setting: Setting,
    main: impl Future<Output = i32>,
    over: impl FnOnce((i32, bool)),
) -> io::Result<i32> {
    use tokio::runtime::Builder;
    let threads = setting.threads.max(1);
    match setting.flavor {
        Flavor::CurrentThread => {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            Ok(finish(|| runtime.block_on(main), over))
        }
        Flavor::Local => {
            let runtime =
                Builder::new_current_thread().enable_all().build_local(Default::default())?;
            Ok(finish(|| runtime.block_on(main), over))
        }
        Flavor::MultiThread => {
            let runtime =
                Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
            Ok(finish(|| runtime.block_on(main), over))
        }
    }
}

/// Runs `main`, tells `over` how it has ended, and passes a panic on.
fn finish(main: impl FnOnce() -> i32, over: impl FnOnce((i32, bool))) -> i32 {
    let ended = catch_unwind(AssertUnwindSafe(main));
    over(ended.as_ref().map_or((PANICKED, true), |&code| (code, false)));
    ended.unwrap_or_else(|panic| resume_unwind(panic))
}

/// The number behind what `main` returned. `ExitCode` does not tell it, but can be compared.
pub(crate) fn exit_code(output: impl Termination) -> i32 {
    let code = output.report();
    (0..=u8::MAX).find(|&n| std::process::ExitCode::from(n) == code).map_or(1, i32::from)
}
