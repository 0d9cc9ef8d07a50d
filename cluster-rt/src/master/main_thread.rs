//! The master's main thread: starts zygotes, reaps, notes signals, and ends the process.
//!
//! Runs nothing else and lives as long as the process, since the kernel kills a zygote or worker when
//! the *thread* that is its parent ends (PR_SET_PDEATHSIG in `prctl(2)`). Reaps the pids that it was
//! told and orphans that it adopted, never "any child": the others belong to user code.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, OwnedFd},
    process::ExitStatus,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
};

use crate::{
    sys::{
        fork::Image,
        signal::{self, JobControl},
        wait::{self, Orphans},
        wake::{Wake, poll_until},
    },
    wire,
    zygote::Handover,
};

/// What the main thread is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Start a zygote that holds this end of its link, with this as its stderr if there is one.
    Exec { generation: u32, image: Arc<Image>, link: OwnedFd, stderr: Option<Arc<OwnedFd>> },
    /// This is a child of the cluster's: reap it when it ends.
    Watch { pid: i32 },
    /// Everything is reaped: end the process.
    End { code: i32 },
}

/// What the main thread tells.
#[derive(Debug)]
pub(super) enum News {
    Signal(Signal),
    ZygoteStarted { generation: u32, pid: i32 },
    ZygoteNotStarted { generation: u32, reason: String },
    Reaped { pid: i32, status: ExitStatus },
}

/// The others' way to the main thread.
#[derive(Clone, Debug)]
pub(super) struct MainThread {
    orders: mpsc::Sender<Order>,
    wake: Wake,
}

impl MainThread {
    pub(super) fn order(&self, order: Order) {
        // Fails only while the process ends.
        let _ = self.orders.send(order);
        self.wake.ring();
    }
}

/// The thread's own part.
#[derive(Debug)]
pub(super) struct Duty {
    inbox: mpsc::Receiver<Order>,
    wake: Wake,
    job_control: JobControl,
    /// The pids to reap.
    children: BTreeSet<i32>,
    orphans: Orphans,
}

/// A missed SIGCHLD, if user code replaced the handler, is made up for after this.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

impl Duty {
    /// `wake` is the one that the signal handlers ring.
    pub(super) fn new(wake: Wake, job_control: JobControl) -> (Self, MainThread) {
        let (orders, inbox) = mpsc::channel();
        let handle = MainThread { orders, wake: wake.clone() };
        let (children, orphans) = (BTreeSet::new(), Orphans::default());
        (Self { inbox, wake, job_control, children, orphans }, handle)
    }

    /// Does the duty until the end; returns the exit code.
    pub(super) fn run(mut self, tell: &dyn Fn(News)) -> i32 {
        let mut swept = Instant::now();
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.job_control.as_fd(), PollFlags::IN),
            ];
            // An error here is a lack of memory: the sweep below goes on all the same.
            let woken = poll_until(&mut fds, Some(swept + SWEEP_INTERVAL)).unwrap_or(true);
            self.wake.hush();
            for signal in signal::take().filter(|&signal| signal != Signal::SIGCHLD) {
                tell(News::Signal(signal));
            }
            for signal in self.job_control.take() {
                tell(News::Signal(signal));
            }
            while let Ok(order) = self.inbox.try_recv() {
                match order {
                    Order::Exec { generation, image, link, stderr } => {
                        self.exec(generation, &image, &link, stderr.as_deref(), tell);
                    }
                    Order::Watch { pid } => drop(self.children.insert(pid)),
                    Order::End { code } => return code,
                }
            }
            self.reap(tell);
            let now = Instant::now();
            if !woken || now.duration_since(swept) >= SWEEP_INTERVAL {
                swept = now;
                self.orphans.sweep(now, |pid| self.children.contains(&pid));
            }
        }
    }

    fn exec(
        &mut self,
        generation: u32,
        image: &Image,
        link: &OwnedFd,
        stderr: Option<&OwnedFd>,
        tell: &dyn Fn(News),
    ) {
        let master = i32::try_from(std::process::id()).unwrap_or(0);
        let variable = |link| Handover { link, master, generation }.encode();
        let stderr = stderr.map(AsFd::as_fd);
        match image.exec(link.as_fd(), stderr, variable, wire::exec_failed) {
            Ok(pid) => {
                self.children.insert(pid);
                tell(News::ZygoteStarted { generation, pid });
            }
            Err(error) => {
                let reason = format!("fork: {error}");
                tell(News::ZygoteNotStarted { generation, reason });
            }
        }
    }

    fn reap(&mut self, tell: &dyn Fn(News)) {
        self.children.retain(|&pid| match wait::reap(pid) {
            Ok(None) => true,
            Ok(Some(status)) => {
                tell(News::Reaped { pid, status });
                false
            }
            Err(Errno::CHILD) => {
                // Somebody else reaped it, which user code can only do on purpose. It is gone.
                tell(News::Reaped { pid, status: ExitStatus::default() });
                false
            }
            Err(_) => true,
        });
    }
}
