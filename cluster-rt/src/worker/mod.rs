//! The worker: a process, forked from the zygote, that runs the user's `main` on a runtime of its own.
//!
//! This file is the life of that process: adoption, handlers, hello, runtime, `main`, exit. Never
//! imports `master`. Until the master says `Go` no user code runs; if the master is gone at any point,
//! so is the worker.

mod body;
mod current;
mod drain;
mod handle;
mod heartbeat;
mod level;
mod mail;
mod orders;
mod solo;
mod stopping;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use self::body::{RunSetting, Setting};
#[cfg(feature = "axum")]
pub(crate) use self::current::try_current;
pub(crate) use self::{
    body::{Body, OfServices, OnRuntime, OnThread, Run, exit_code},
    current::{Backing, Current, current},
    drain::Counted,
    orders::Answer,
};
pub use self::{
    drain::Draining,
    handle::{Worker, draining, is_worker, set_ready, try_worker, worker},
    stopping::{Stopping, is_stopping, stopping},
};
use crate::{
    config::Config,
    link::Link,
    shard,
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
pub(crate) fn run(seed: Seed, init: Option<Box<dyn FnOnce()>>, main: impl Body) -> i32 {
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
    shard::begin(go.service.as_deref(), go.splits);
    if !main.has(go.service.as_deref()) {
        return complain(&format!("worker {}: {}", seed.worker, no_such(go.service.as_deref())));
    }
    // Once in the life of a process, and for as long.
    let service = go.service.map(|name| &*name.leak());
    let identity =
        handle::Identity { id: seed.worker, slot: go.slot, generation: go.generation, service };
    let current = match Current::forked(identity, link, wake, row, go.sits) {
        Ok(current) => current::set(current),
        Err(error) => return complain(&format!("worker {}: {error}", seed.worker)),
    };
    let started = mail::open(identity, go.services, row, seed.mail)
        .and_then(|()| orders::start(current, diverted));
    if let Err(error) = started {
        return complain(&format!("worker {}: thread: {error}", seed.worker));
    }
    let Go { flavor, worker_threads: threads, heartbeat, .. } = go;
    run_main(current, Setting { flavor, threads, heartbeat }, init, main)
}

/// Runs `main` in this process, as the worker of slot 0 that has no master.
pub(crate) fn run_solo(
    config: &Config,
    at_start: AtStart,
    init: Option<Box<dyn FnOnce()>>,
    main: impl Body,
) -> i32 {
    process::raise_nofile();
    match solo::start(config, at_start) {
        Ok(current) => {
            let threads = config.worker_threads.unwrap_or_else(cores);
            let setting = Setting { flavor: config.flavor, threads, heartbeat: None };
            run_main(current, setting, init, main)
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

/// Why a program cannot be the worker that the master wants: a reload has brought another program.
fn no_such(service: Option<&str>) -> String {
    let change = "services come and go with a new start, not with a reload";
    match service {
        Some(name) => format!("this program has no service {name:?}; {change}"),
        None => format!("this program names services, the master's does not; {change}"),
    }
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

fn run_main(
    current: &'static Current,
    setting: Setting,
    init: Option<Box<dyn FnOnce()>>,
    main: impl Body,
) -> i32 {
    let life = AssertUnwindSafe(|| {
        if let Some(init) = init {
            init();
        }
        main.run(current, RunSetting(setting))
    });
    let (code, panicked) = match catch_unwind(life) {
        Ok(Ok(code)) => (code, false),
        Ok(Err(error)) => (complain(&format!("worker runtime: {error}")), false),
        Err(_) => (PANICKED, true),
    };
    end(current, code, panicked);
    code
}

/// The last words: the master reads the lane to its end before it tells of this one.
fn end(current: &Current, code: i32, panicked: bool) {
    mail::flush();
    current.tell(&FromWorker::Ended { code, panicked });
}

/// How long a request to the master may take.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
