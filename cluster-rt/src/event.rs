//! What a cluster tells its owner: [`Event`], [`ExitCause`], [`WorkerState`] and [`WorkerStatus`].
//!
//! Plain values, made by the supervisor; [`Display`](std::fmt::Display) of an event is the life-cycle
//! line that the master prints.

use std::{
    fmt,
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::ExitStatus,
    time::{Duration, SystemTime},
};

use crate::id::WorkerId;

/// Something that happened in the cluster, as read from [`Events::recv`](crate::Events::recv).
///
/// For one worker the order is `Spawned`, `Online`, `Listening` (once per listener), `Ready`,
/// `Draining`, `Disconnected`, `Exited`; each but `Listening` at most once, and a worker that ends
/// early leaves out the middle. `Respawning` or `GaveUp` follow an exit. This is the order of Node's
/// `fork`, `online`, `listening`, `disconnect` and `exit`, with readiness and drain added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The process of a worker exists.
    #[non_exhaustive]
    Spawned {
        /// The new worker.
        worker: WorkerId,
        /// Its slot.
        slot: usize,
        /// The service that it is of; `None` in a cluster that names none.
        service: Option<&'static str>,
        /// Its process id.
        pid: u32,
        /// The generation of code that it is made from.
        generation: u32,
    },
    /// The worker is about to run its `main`.
    #[doc(alias = "fork")]
    #[non_exhaustive]
    Online {
        /// The worker.
        worker: WorkerId,
        /// Its slot.
        slot: usize,
        /// The service that it is of; `None` in a cluster that names none.
        service: Option<&'static str>,
    },
    /// The worker has bound a listener.
    #[non_exhaustive]
    Listening {
        /// The worker.
        worker: WorkerId,
        /// Its slot.
        slot: usize,
        /// The service that it is of; `None` in a cluster that names none.
        service: Option<&'static str>,
        /// The address that the socket really has, TCP or UDP, with the port that replaced a `:0`.
        addr: SocketAddr,
    },
    /// The worker has bound a Unix listener; `Listening` for those.
    #[non_exhaustive]
    ListeningAt {
        /// The worker.
        worker: WorkerId,
        /// Its slot.
        slot: usize,
        /// The service that it is of; `None` in a cluster that names none.
        service: Option<&'static str>,
        /// The absolute path; empty for an inherited socket that has none.
        path: PathBuf,
    },
    /// The worker serves: it waits for connections on every listener its predecessor had, or it
    /// called [`set_ready`](crate::set_ready), or it has run one second without binding anything.
    #[non_exhaustive]
    Ready {
        /// The worker.
        worker: WorkerId,
        /// Its slot.
        slot: usize,
        /// The service that it is of; `None` in a cluster that names none.
        service: Option<&'static str>,
    },
    /// The worker gets no new connections and finishes those it has.
    #[non_exhaustive]
    Draining {
        /// The worker.
        worker: WorkerId,
        /// Its slot.
        slot: usize,
        /// The service that it is of; `None` in a cluster that names none.
        service: Option<&'static str>,
    },
    /// The worker has ended and its link to the master was read to the end.
    #[non_exhaustive]
    Disconnected {
        /// The worker.
        worker: WorkerId,
        /// Its slot.
        slot: usize,
        /// The service that it is of; `None` in a cluster that names none.
        service: Option<&'static str>,
    },
    /// The worker has ended and was reaped.
    #[non_exhaustive]
    Exited {
        /// The worker.
        worker: WorkerId,
        /// Its slot.
        slot: usize,
        /// The service that it is of; `None` in a cluster that names none.
        service: Option<&'static str>,
        /// Its process id, free for the kernel to use again.
        pid: u32,
        /// Why it ended.
        cause: ExitCause,
        /// What the kernel reported.
        status: ExitStatus,
        /// Connections that were open in it when it ended, and so are lost.
        lost: u64,
    },
    /// A new worker for the slot will be spawned after `delay`.
    #[non_exhaustive]
    Respawning {
        /// The slot.
        slot: usize,
        /// The service that it is of; `None` in a cluster that names none.
        service: Option<&'static str>,
        /// How long from now; zero unless the slot's workers fail at start or by their own fault.
        delay: Duration,
    },
    /// Too many failed starts while no worker of the service was ready, or a preload that failed before any
    /// ever was: the cluster ends with exit code 70. One that can do without the service goes on, and tries
    /// it again at the next reload.
    #[non_exhaustive]
    GaveUp {
        /// How many starts had failed in a row.
        failed_starts: u32,
        /// The service whose workers they were; `None` for the whole cluster.
        service: Option<&'static str>,
    },
    /// The number of slots over which the keys of a service are split has changed, and with it the
    /// [`Shard`](crate::Shard) of each of its workers: new slots count from the moment on at which all of them
    /// serve, those that were scaled away no more at once. Workers are told before this.
    #[non_exhaustive]
    Resharded {
        /// The service; `None` in a cluster that names none.
        service: Option<&'static str>,
        /// The number before.
        from: usize,
        /// The number from now on.
        to: usize,
    },
    /// The cluster's stop has begun: by a signal, an order, or because `main` or the master's branch has ended it. With
    /// `stop_delay` connections are still taken for that long. Workers are told too: [`stopping`](crate::stopping).
    Stopping,
    /// A rolling reload has begun.
    #[non_exhaustive]
    ReloadStarted {
        /// The generation that is to take the slots.
        generation: u32,
    },
    /// Every slot has a worker of the new generation; old ones may still drain.
    #[non_exhaustive]
    ReloadFinished {
        /// The new generation.
        generation: u32,
    },
    /// The reload came to nothing, and every slot is back with the generation before.
    #[non_exhaustive]
    ReloadFailed {
        /// The generation that failed.
        generation: u32,
        /// What failed.
        reason: String,
    },
    /// A zygote has ended; its workers did not notice, and the master starts another.
    #[non_exhaustive]
    ZygoteExited {
        /// The generation whose workers it forked.
        generation: u32,
        /// What the kernel reported, why the master ended it, or how its preload failed.
        reason: String,
    },
    /// This many events were dropped because the stream was not read.
    Lagged(u64),
}

/// Why a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitCause {
    /// It ended by `Err`, panic, exit code or a fault of its own before it was ready, or before it
    /// ever bound, accepted or said ready.
    FailedToStart,
    /// `main` returned, or the process exited with 0, without having been asked to.
    Finished(i32),
    /// `main` returned `Err` or panicked, or the process exited with this code other than 0.
    Crashed(i32),
    /// A signal ended it that the master had not sent.
    #[non_exhaustive]
    Signaled {
        /// The signal's number.
        signal: i32,
        /// Whether the kernel wrote a core file.
        core_dumped: bool,
    },
    /// It ended as asked: by a drain, or killed when its time was over.
    Stopped,
    /// It gave no sign of life and was killed.
    Hung,
    /// It was replaced because it had reached a limit.
    Recycled,
}

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerState {
    /// Spawned, not yet ready.
    Starting,
    /// Serving.
    Ready,
    /// Finishing what it has.
    Draining,
    /// Ended.
    Exited,
}

/// One line of [`Master::workers`](crate::Master::workers): what the master knows about a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// Its identity.
    pub worker: WorkerId,
    /// Its slot.
    pub slot: usize,
    /// The service that it is of; `None` in a cluster that names none.
    pub service: Option<&'static str>,
    /// Its process id; `None` until the kernel has made the process.
    pub pid: Option<u32>,
    /// The generation of code it runs, 1 until the first reload.
    pub generation: u32,
    /// Where it is in its life.
    pub state: WorkerState,
    /// When it was spawned.
    pub since: SystemTime,
    /// Connections it has open. Written by the worker, so an estimate.
    pub active: u64,
    /// Connections it has closed.
    pub served: u64,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawned { worker, slot, service, pid, .. } => {
                write!(f, "slot {slot} ({}worker {worker}, pid {pid}) spawned", Of(*service))
            }
            Self::Online { worker, slot, service } => {
                write!(f, "slot {slot} ({}worker {worker}) online", Of(*service))
            }
            Self::ListeningAt { worker, slot, service, path } => {
                let path = path.display();
                write!(f, "slot {slot} ({}worker {worker}) listens on {path}", Of(*service))
            }
            Self::Listening { worker, slot, service, addr } => {
                write!(f, "slot {slot} ({}worker {worker}) listens on {addr}", Of(*service))
            }
            Self::Ready { worker, slot, service } => {
                write!(f, "slot {slot} ({}worker {worker}) ready", Of(*service))
            }
            Self::Draining { worker, slot, service } => {
                write!(f, "slot {slot} ({}worker {worker}) draining", Of(*service))
            }
            Self::Disconnected { worker, slot, service } => {
                write!(f, "slot {slot} ({}worker {worker}) disconnected", Of(*service))
            }
            Self::Exited { worker, slot, service, pid, cause, status, lost } => {
                write!(f, "slot {slot} ({}worker {worker}, pid {pid}) exited: ", Of(*service))?;
                describe_exit(f, *cause, *status)?;
                match lost {
                    0 => Ok(()),
                    1 => write!(f, ", 1 connection lost"),
                    n => write!(f, ", {n} connections lost"),
                }
            }
            Self::Respawning { slot, service, delay } => {
                write!(f, "slot {slot} ")?;
                if let Some(service) = service {
                    write!(f, "({service}) ")?;
                }
                write!(f, "respawning in {} ms", delay.as_millis())
            }
            Self::GaveUp { failed_starts, service } => {
                if let Some(service) = service {
                    write!(f, "service {service}: ")?;
                }
                let plural = if *failed_starts == 1 { "" } else { "s" };
                write!(f, "gave up after {failed_starts} failed start{plural} with no worker ready")
            }
            Self::ZygoteExited { generation, reason } => {
                write!(f, "zygote {generation} exited: {reason}")
            }
            Self::Resharded { service, from, to } => {
                let of = service.map_or_else(String::new, |name| format!(" of service {name}"));
                write!(f, "keys{of} are split over {to} slots instead of {from}")
            }
            Self::ReloadStarted { generation } => {
                write!(f, "reload to generation {generation} started")
            }
            Self::ReloadFinished { generation } => {
                write!(f, "reload to generation {generation} finished")
            }
            Self::ReloadFailed { generation, reason } => {
                write!(f, "reload to generation {generation} failed: {reason}")
            }
            Self::Stopping => f.write_str("stopping"),
            Self::Lagged(n) => write!(f, "{n} events dropped"),
        }
    }
}

/// The name of a service before what else is known of a worker, if services have names.
struct Of(Option<&'static str>);

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |service| write!(f, "{service}, "))
    }
}

fn describe_exit(f: &mut fmt::Formatter<'_>, cause: ExitCause, status: ExitStatus) -> fmt::Result {
    match cause {
        ExitCause::Stopped if status.success() => f.write_str("stopped"),
        ExitCause::Stopped => write!(f, "stopped ({})", DisplayStatus(status)),
        ExitCause::FailedToStart => write!(f, "failed to start ({})", DisplayStatus(status)),
        ExitCause::Hung => f.write_str("hung"),
        ExitCause::Recycled => f.write_str("recycled"),
        ExitCause::Finished(_) | ExitCause::Crashed(_) | ExitCause::Signaled { .. } => {
            write!(f, "{}", DisplayStatus(status))
        }
    }
}

/// An exit status in the words of the life-cycle lines: `code 1`, `SIGSEGV (core dumped)`.
pub(crate) struct DisplayStatus(pub(crate) ExitStatus);

impl fmt::Display for DisplayStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = self.0.code() {
            return write!(f, "code {code}");
        }
        let signal = self.0.signal().unwrap_or(0);
        match nix::sys::signal::Signal::try_from(signal) {
            Ok(name) => f.write_str(name.as_str())?,
            Err(_) => write!(f, "signal {signal}")?,
        }
        if self.0.core_dumped() { f.write_str(" (core dumped)") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_line_names_slot_worker_pid_cause_and_loss() {
        let event = |service| Event::Exited {
            worker: WorkerId(3),
            slot: 1,
            service,
            pid: 811,
            cause: ExitCause::Signaled { signal: 11, core_dumped: false },
            status: ExitStatus::from_raw(11),
            lost: 2,
        };
        assert_eq!(
            event(None).to_string(),
            "slot 1 (worker 3, pid 811) exited: SIGSEGV, 2 connections lost"
        );
        assert_eq!(
            event(Some("jobs")).to_string(),
            "slot 1 (jobs, worker 3, pid 811) exited: SIGSEGV, 2 connections lost"
        );
    }
}
