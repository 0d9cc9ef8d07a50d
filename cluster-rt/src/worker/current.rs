//! The state of the worker that this process is: identity, link, drain, accounts.
//!
//! One for a process, set before `main` runs and never dropped.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::sync::watch;

use super::{
    ANSWER_TIMEOUT, MasterLink,
    drain::{Accounts, Drain},
    handle::Identity,
    orders::Requests,
};
use crate::{
    sys::{fdpass::Spare, inherited::AtStart, scoreboard::Row, wake::Wake},
    wire::FromWorker,
};

static CURRENT: OnceLock<Current> = OnceLock::new();

/// The worker that this process is.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) identity: Identity,
    pub(crate) backing: Backing,
    pub(crate) drain: Drain,
    pub(crate) accounts: Accounts,
    /// Whether this worker has taken its slot's seat: before, it accepts nothing.
    pub(crate) seated: watch::Sender<bool>,
    /// Whether the cluster has begun to stop.
    pub(super) stopping: watch::Sender<bool>,
    /// Rung by the signal handlers, and by `ask_to_stop`.
    pub(crate) wake: Wake,
    /// The binds of port 0 that went well or are under way: the n-th is the same port in every worker.
    port_zero_binds: Mutex<BTreeSet<u32>>,
}

/// Where connections and orders come from.
#[derive(Debug)]
pub(crate) enum Backing {
    /// A master.
    Master {
        link: MasterLink,
        requests: Requests,
        /// The descriptor that makes room for a connection.
        spare: Spare,
    },
    /// Nobody: this process binds and accepts itself.
    Solo {
        /// The sockets that this process was started with.
        at_start: AtStart,
        /// It has bound something, or said that it is ready.
        serves: AtomicBool,
    },
}

impl Current {
    pub(super) fn forked(
        identity: Identity,
        link: MasterLink,
        wake: Wake,
        row: &'static Row,
        sits: bool,
    ) -> io::Result<Self> {
        let spare = Spare::new(&wake)?;
        let requests = Requests::default();
        let backing = Backing::Master { link, requests, spare };
        Ok(Self::new(identity, backing, wake, row, sits))
    }

    pub(super) fn new(
        identity: Identity,
        backing: Backing,
        wake: Wake,
        row: &'static Row,
        sits: bool,
    ) -> Self {
        let (drain, accounts) = (Drain::default(), Accounts::new(row));
        let (seated, port_zero_binds) = (watch::Sender::new(sits), Mutex::default());
        let stopping = watch::Sender::new(false);
        Self { identity, backing, drain, accounts, wake, seated, stopping, port_zero_binds }
    }

    /// Sends a frame to the master. One that is gone, or does not read, is dealt with by the thread
    /// that reads the link, so nothing is lost by not saying so here.
    pub(crate) fn tell(&self, frame: &FromWorker) {
        match (&self.backing, frame) {
            (Backing::Master { link, .. }, _) => {
                let _ = link.send_by(frame, Instant::now() + ANSWER_TIMEOUT);
            }
            (Backing::Solo { .. }, FromWorker::Ready) => self.serves_alone(),
            (Backing::Solo { .. }, _) => {}
        }
    }

    /// Without a master, who serves tells the service manager itself.
    pub(crate) fn serves_alone(&self) {
        if let Backing::Solo { serves, .. } = &self.backing {
            serves.store(true, Ordering::Relaxed);
            self.wake.ring();
        }
    }

    /// Whether it does.
    pub(super) fn serves(&self) -> bool {
        matches!(&self.backing, Backing::Solo { serves, .. } if serves.load(Ordering::Relaxed))
    }

    /// As TERM does.
    pub(super) fn ask_to_stop(&self) {
        self.drain.ask_to_stop();
        self.wake.ring();
    }

    /// The number of the next bind of port 0.
    pub(crate) fn begin_port_zero_bind(&self) -> u32 {
        let mut binds = self.port_zero_binds.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (0..).find(|nth| !binds.contains(nth)).unwrap_or(0);
        binds.insert(next);
        next
    }

    /// The bind with this number failed: a retry asks for the same port.
    pub(crate) fn abandon_port_zero_bind(&self, nth: u32) {
        self.port_zero_binds.lock().unwrap_or_else(PoisonError::into_inner).remove(&nth);
    }
}

/// Makes `current` the worker that this process is.
pub(super) fn set(current: Current) -> &'static Current {
    CURRENT.get_or_init(|| current)
}

/// The worker that this process is.
pub(crate) fn try_current() -> Option<&'static Current> {
    CURRENT.get()
}

/// The worker that this process is, for calls that make no sense elsewhere.
///
/// # Errors
/// Says so.
pub(crate) fn current(operation: &str) -> io::Result<&'static Current> {
    try_current().ok_or_else(|| {
        io::Error::other(format!(
            "{operation}: this process is no worker (in the master's branch, or without \
             #[cluster::main], use tokio's own type)"
        ))
    })
}
