//! The master: the process that was started. Owns the listening sockets, supervises, routes.
//!
//! This file only puts the threads together: the main thread starts and reaps, one thread supervises,
//! one dispatches, one writes the life-cycle lines, one runs the user's branch. User code can stall
//! none of the others. Never imports `worker`.

mod berths;
mod capture;
mod control;
mod dispatcher;
mod events;
mod handle;
mod hub;
mod ledger;
mod listeners;
mod main_thread;
mod memory;
mod order;
mod report;
mod spawner;
mod supervisor;
mod workers;

use std::{
    io,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use self::{
    control::{Control, ControlHandle, Message, Parts},
    dispatcher::Dispatcher,
    handle::Desk,
    hub::Hub,
    main_thread::Duty,
    report::Report,
    supervisor::{FIRST_GENERATION, Supervisor},
    workers::Workers,
};
pub use self::{
    events::Events,
    handle::Master,
    order::{Order, Reloaded, Replaced, Scaled, Stopped},
};
use crate::{
    config::{Config, ServiceConfig},
    message,
    notify::Notify,
    shard,
    sys::{
        fork::Image,
        inherited::AtStart,
        process,
        scoreboard::Scoreboard,
        signal::{self, Disposition, JobControl},
        wake::Wake,
    },
};

/// Set for good when this process becomes a master.
static IS_MASTER: AtomicBool = AtomicBool::new(false);

/// This process is the master from now on. Before `init`, so that it can tell.
pub(crate) fn become_master() {
    IS_MASTER.store(true, Ordering::Relaxed);
}

/// Whether this process is the cluster's master: Node's `cluster.isPrimary`.
#[doc(alias = "isPrimary")]
pub fn is_master() -> bool {
    IS_MASTER.load(Ordering::Relaxed)
}

/// The user's part of the master: gets the handle, returns an exit code.
pub(crate) type Branch = Box<dyn FnOnce(Master) -> i32 + Send>;

/// How long the master's branch may go on after the last worker was reaped.
const BRANCH_PATIENCE: Duration = Duration::from_millis(250);

/// Runs the master until everything is reaped; returns the exit code.
///
/// `image` was taken, and `init` ran, before: from here on this process has threads.
///
/// # Errors
/// The name of what could not be made, and why.
pub(crate) fn run(
    config: Config,
    services: Vec<ServiceConfig>,
    image: Image,
    branch: Option<Branch>,
    warnings: Vec<String>,
    mut at_start: AtStart,
) -> Result<i32, String> {
    let failed = |what: &'static str| move |error: io::Error| format!("start: {what}: {error}");
    process::set_title(&process::name(), "master");
    process::become_subreaper().map_err(failed("prctl PR_SET_CHILD_SUBREAPER"))?;
    process::raise_nofile();
    let bell = Wake::new().map_err(failed("eventfd"))?;
    // Before any other thread, all of which are to block the same.
    let job_control = JobControl::take_over().map_err(failed("signalfd"))?;
    signal::ring_on(&bell).map_err(failed("eventfd"))?;
    watch_signals();
    let had_terminal = !process::terminal_is_gone();
    let report = Report::start(config.log).map_err(failed("thread"))?;
    warnings.into_iter().for_each(|warning| report.warn(warning));
    let (control, inbox) = control::channel().map_err(failed("eventfd"))?;
    let (duty, main_thread) = Duty::new(bell, job_control);
    let (board, scoreboard) = Scoreboard::create().map_err(failed("scoreboard"))?;
    let notify = control.clone();
    let dispatcher = Dispatcher::start(move |notice| notify.tell(Message::Notice(notice)))
        .map_err(failed("thread"))?;
    let hub = start_hub(&services, branch.is_some(), control.clone()).map_err(failed("thread"))?;
    let notify = notify_for(&mut at_start, &report);
    let desk = Desk::new(control.clone());
    let supervisor = Supervisor::new(config.clone(), services.clone(), chance(), Instant::now());
    // Before user code runs here. The master is of no service: it asks in the first.
    shard::begin(services.first().and_then(|service| service.name), supervisor.splits());
    let parts = Parts {
        supervisor,
        config,
        services,
        workers: Workers::new(board),
        image,
        scoreboard,
        at_start,
        notify,
        main_thread,
        dispatcher,
        hub,
        report: report.clone(),
        desk: desk.clone(),
        had_terminal,
    };
    let loop_of_control = Control::new(parts, &control, inbox);
    thread::Builder::new()
        .name("cluster-control".to_owned())
        .spawn(move || {
            signal::block_on_this_thread();
            loop_of_control.run();
        })
        .map_err(failed("thread"))?;
    let branch = branch.map(|branch| start_branch(branch, Master(desk), control.clone()));
    let branch = branch.transpose().map_err(failed("thread"))?;

    let code = duty.run(&|news| control.tell(Message::News(news)));
    if let Some(ended) = branch {
        // An error means that it has ended; a timeout, that it does not: either way it is over.
        let _ = ended.recv_timeout(BRANCH_PATIENCE);
    }
    report.flush();
    Ok(code)
}

fn start_hub(
    services: &[ServiceConfig],
    has_branch: bool,
    control: ControlHandle,
) -> io::Result<Hub> {
    let names = services.iter().map(|service| message::service_hash(service.name)).collect();
    Hub::start(FIRST_GENERATION, names, has_branch, move |notice| {
        control.tell(Message::Mail(notice))
    })
}

/// The way to the service manager, if there is one that wants to be told.
fn notify_for(at_start: &mut AtStart, report: &Report) -> Option<Notify> {
    let notify = Notify::new(std::mem::take(&mut at_start.notify), Instant::now());
    notify.unwrap_or_else(|error| {
        report.warn(format!("NOTIFY_SOCKET: {error}; the service manager is not told"));
        None
    })
}

/// A number that nobody can foretell, by the standard library's own source of such.
fn chance() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// Runs the user's branch on a thread of its own; the receiver learns of its end.
fn start_branch(
    branch: Branch,
    master: Master,
    control: ControlHandle,
) -> io::Result<mpsc::Receiver<()>> {
    let (ending, ended) = mpsc::channel::<()>();
    thread::Builder::new().name("cluster-master".to_owned()).spawn(move || {
        // What a plain program reports for a panic in main.
        const PANICKED: i32 = 101;
        let run = std::panic::AssertUnwindSafe(|| branch(master));
        let code = std::panic::catch_unwind(run).unwrap_or(PANICKED);
        control.tell(Message::BranchEnded { code });
        drop(ending);
    })?;
    Ok(ended)
}

/// Handlers for every signal that is an order to the master, which come however the program was started: whoever
/// runs it with TERM blocked, as a launcher does that forks with its own mask, wants it to stop all the same.
/// Workers have the mask of the start.
fn watch_signals() {
    let orders = [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
    ];
    for signal in orders {
        // Started under nohup, or in the background by a shell without job control: stays ignored.
        // SIGCHLD alone has to come: ignored, the kernel would reap and lose the exit codes.
        if signal == Signal::SIGCHLD || signal::disposition(signal) != Disposition::Ignored {
            signal::watch(signal);
        }
    }
    signal::unblock(orders);
    // Where stderr is a file that has reached the limit of sizes, a line is lost and not the master. Workers are
    // as any program.
    if signal::disposition(Signal::SIGXFSZ) != Disposition::Ignored {
        signal::disregard(Signal::SIGXFSZ);
    }
}
