//! The worker: a process, forked from the zygote, that runs the user's `main` on a runtime of its own.
//!
//! This file is the life of that process: adoption, handlers, hello, runtime, `main`, exit. Never
//! imports `master`. Until the master says `Go` no user code runs; if the master is gone at any point,
//! so is the worker.

mod current;
mod drain;
mod handle;
mod heartbeat;
mod mail;
mod orders;
mod solo;

use std::{
    future::Future,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    process::Termination,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

#[cfg(feature = "axum")]
pub(crate) use self::current::try_current;
pub(crate) use self::{
    current::{Backing, Current, current},
    drain::Counted,
    orders::Answer,
};
pub use self::{
    drain::Draining,
    handle::{Worker, draining, is_worker, set_ready, try_worker, worker},
};
use crate::{
    config::{Config, Flavor},
    link::Link,
    sys::{
        affinity,
        inherited::AtStart,
        process,
        signal::{self, Disposition},
        stderr,
        wake::Wake,
    },
    wire::{FromWorker, Go, HANDSHAKE_TIMEOUT, PROTOCOL_VERSION, ToWorker},
    zygote::Seed,
};

/// The worker's end of the link.
pub(crate) type MasterLink = Link<FromWorker, ToWorker>;

/// What a plain program reports for a panic in main.
const PANICKED: i32 = 101;

/// What a worker exits with when it never came to run `main`; the master names the reason.
const NOT_BORN: i32 = 71;

/// Lives the life of a worker; returns its exit code.
pub(crate) fn run<F, Fut>(seed: Seed, init: Option<Box<dyn FnOnce()>>, main: F) -> i32
where
    F: FnOnce() -> Fut,
    Fut: Future,
    Fut::Output: Termination,
{
    // The adoption takes microseconds; a master that is gone never adopts.
    if process::die_with(seed.master, HANDSHAKE_TIMEOUT).is_err() {
        process::exit_now(NOT_BORN);
    }
    process::set_title(&process::name(), &format!("worker {}", seed.slot));
    let Ok(wake) = Wake::new() else { process::exit_now(NOT_BORN) };
    if signal::ring_on(&wake).is_err() {
        process::exit_now(NOT_BORN);
    }
    install_handlers();
    drop(seed.blocked);
    let link: MasterLink = Link::new(seed.link);
    let Ok(go) = greet(&link) else { process::exit_now(NOT_BORN) };
    if go.pin {
        // Before its first thread, so that all stay there.
        if let Err(error) = affinity::pin(go.slot) {
            complain(&format!("worker {}: pin: {error}; it runs on any processor", seed.worker));
        }
    }
    let Some(row) = seed.scoreboard.row(seed.row) else { process::exit_now(NOT_BORN) };
    // Without it the last words of a newcomer are only not told twice.
    let diverted = seed.stderr.and_then(|elsewhere| stderr::divert(elsewhere).ok());
    let identity = handle::Identity { id: seed.worker, slot: go.slot, generation: go.generation };
    let current = match Current::forked(identity, link, wake, row, go.sits) {
        Ok(current) => current::set(current),
        Err(error) => return complain(&format!("worker {}: {error}", seed.worker)),
    };
    let started = mail::open(identity, &row.unread, seed.mail)
        .and_then(|()| orders::start(current, diverted));
    if let Err(error) = started {
        return complain(&format!("worker {}: thread: {error}", seed.worker));
    }
    run_main(current, go.flavor, go.worker_threads, go.heartbeat, init, main)
}

/// Runs `main` in this process, as the worker of slot 0 that has no master.
pub(crate) fn run_solo<F, Fut>(
    config: &Config,
    at_start: AtStart,
    init: Option<Box<dyn FnOnce()>>,
    main: F,
) -> i32
where
    F: FnOnce() -> Fut,
    Fut: Future,
    Fut::Output: Termination,
{
    process::raise_nofile();
    match solo::start(config, at_start) {
        Ok(current) => {
            let threads = config.worker_threads.unwrap_or_else(cores);
            run_main(current, config.flavor, threads, None, init, main)
        }
        Err(error) => complain(&format!("start: {error}")),
    }
}

/// The cores that this process may use, by affinity and cgroup.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn complain(text: &str) -> i32 {
    use std::io::Write;
    // A closed stderr is no reason to panic.
    let _ = writeln!(io::stderr(), "cluster: {text}");
    NOT_BORN
}

/// TERM drains; the rest of what a terminal or a service manager sends to every process of a group is
/// the master's to act on, so here it does nothing.
fn install_handlers() {
    signal::watch(Signal::SIGTERM);
    for signal in
        [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2]
    {
        if signal::disposition(signal) != Disposition::Ignored {
            signal::disregard(signal);
        }
    }
}

/// Says hello and waits to be let go.
fn greet(link: &MasterLink) -> Result<Go, ()> {
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    link.send_by(&FromWorker::Hello { protocol: PROTOCOL_VERSION }, deadline).map_err(drop)?;
    match link.receive_by(deadline) {
        Ok(Some((ToWorker::Go(go), _))) => Ok(go),
        _ => Err(()),
    }
}

fn run_main<F, Fut>(
    current: &'static Current,
    flavor: Flavor,
    threads: usize,
    heartbeat: Option<Duration>,
    init: Option<Box<dyn FnOnce()>>,
    main: F,
) -> i32
where
    F: FnOnce() -> Fut,
    Fut: Future,
    Fut::Output: Termination,
{
    let life = AssertUnwindSafe(|| {
        if let Some(init) = init {
            init();
        }
        block_on(flavor, threads, async {
            current.tell(&FromWorker::Online);
            if let Some(interval) = heartbeat {
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
        })
    });
    let (code, panicked) = match catch_unwind(life) {
        Ok(Ok(code)) => (code, false),
        Ok(Err(error)) => (complain(&format!("worker runtime: {error}")), false),
        Err(_) => (PANICKED, true),
    };
    // The master reads the lane to its end before it tells of this one.
    mail::flush();
    current.tell(&FromWorker::Ended { code, panicked });
    code
}

fn block_on<T>(flavor: Flavor, threads: usize, future: impl Future<Output = T>) -> io::Result<T> {
    use tokio::runtime::Builder;
    match flavor {
        Flavor::CurrentThread => {
            Ok(Builder::new_current_thread().enable_all().build()?.block_on(future))
        }
        Flavor::Local => {
            let runtime =
                Builder::new_current_thread().enable_all().build_local(Default::default())?;
            Ok(runtime.block_on(future))
        }
        Flavor::MultiThread => {
            let runtime =
                Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build()?;
            Ok(runtime.block_on(future))
        }
    }
}

/// The number behind what `main` returned. `ExitCode` does not tell it, but can be compared.
pub(crate) fn exit_code(output: impl Termination) -> i32 {
    let code = output.report();
    (0..=u8::MAX).find(|&n| std::process::ExitCode::from(n) == code).map_or(1, i32::from)
}

/// How long a request to the master may take.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
