//! Does what the plan says, to a cluster that runs.
//!
//! Never waits for the cluster, which may be stopped at that moment.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cluster_tests::{Running, Signal, deploy::Deployed, fixture, proc::Process, send_signal};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{
    DESCRIPTORS, crowd,
    load::{Count, address_of, provoke},
    plan::{Fault, Newcomer},
};

/// A cluster that faults are done to.
#[derive(Debug)]
pub(super) struct Victim<'a> {
    pub(super) program: &'a Running,
    pub(super) deployed: &'a Deployed,
    pub(super) count: &'a Arc<Count>,
    address: std::net::SocketAddr,
    /// Stopped processes, and when they are to go on.
    frozen: Vec<(Instant, i32)>,
    /// Until when the master's limit of descriptors is lowered.
    starved: Option<Instant>,
    clients: Vec<JoinHandle<()>>,
    versions: u32,
}

impl<'a> Victim<'a> {
    pub(super) fn new(program: &'a Running, deployed: &'a Deployed, count: &'a Arc<Count>) -> Self {
        let address = program.address();
        Self {
            program,
            deployed,
            count,
            address,
            frozen: vec![],
            starved: None,
            clients: vec![],
            versions: 0,
        }
    }

    pub(super) fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(pick) => self.each(self.pick(pick), Signal::KILL),
            Fault::KillAll => self.each(self.program.workers(), Signal::KILL),
            Fault::Freeze(pick, time) => self.freeze(self.pick(pick), time),
            Fault::FreezeMaster(time) => self.freeze(Process::look(self.program.pid()), time),
            Fault::FreezeZygote(time) => self.freeze(self.program.zygote(), time),
            Fault::Drain(pick) => self.each(self.pick(pick), Signal::TERM),
            Fault::Starve(time) => self.starve(time),
            Fault::KillZygote => self.each(self.program.zygote(), Signal::KILL),
            Fault::Provoke(path, client) => {
                let (address, count) = (self.address, Arc::clone(self.count));
                self.clients.push(thread::spawn(move || {
                    provoke(address_of(client), address, &count, path);
                }));
            }
            Fault::Crowd(crowd, size) => {
                self.clients.extend(crowd::start(crowd, size, self.address, self.count));
            }
            Fault::Reload(newcomer) => {
                self.deploy(newcomer);
                self.program.signal(Signal::HUP);
            }
            Fault::More => self.program.signal(Signal::TTIN),
            Fault::Less => self.program.signal(Signal::TTOU),
        }
    }

    /// Waits, and lets stopped processes go on when it is their time.
    pub(super) fn pause(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        self.clients.retain(|client| !client.is_finished());
        loop {
            let now = Instant::now();
            self.frozen.retain(|&(due, pid)| {
                if due <= now {
                    send_signal(pid, Signal::CONT);
                }
                due > now
            });
            if self.starved.is_some_and(|due| due <= now) {
                self.feed();
            }
            if now >= end {
                return;
            }
            let next = self.frozen.iter().map(|(due, _)| *due).min().unwrap_or(end).min(end);
            thread::sleep(next.saturating_duration_since(now));
        }
    }

    /// The end of all faults that do not end by themselves.
    pub(super) fn relieve(&mut self) {
        for (_, pid) in self.frozen.drain(..) {
            send_signal(pid, Signal::CONT);
        }
        self.feed();
    }

    /// Waits for the clients that are under way.
    pub(super) fn wait_for_clients(&mut self) {
        for client in self.clients.drain(..) {
            client.join().expect("no client panics");
        }
    }

    /// Lowers the master's limit of descriptors to the lowest number that is free in it.
    fn starve(&mut self, time: Duration) {
        let Some(master) = Process::look(self.program.pid()) else { return };
        let open = master.descriptors();
        let lowest_free = (0..).find(|number| !open.contains_key(number));
        let limit = usual_limit();
        let lowered =
            Rlimit { current: lowest_free.map(i32::unsigned_abs).map(u64::from), ..limit };
        if self.starved.is_none() && set_limit(&master, lowered) {
            self.starved = Some(Instant::now() + time);
        }
    }

    fn feed(&mut self) {
        if let Some(master) = Process::look(self.program.pid()).filter(|_| self.starved.is_some()) {
            set_limit(&master, usual_limit());
        }
        self.starved = None;
    }

    /// Puts a good program in place and returns its version.
    pub(super) fn deploy_good(&mut self) -> String {
        self.versions += 1;
        let version = format!("v{}", self.versions);
        self.deployed.replace(fixture!("turmoil"), &version, "serve");
        version
    }

    fn deploy(&mut self, newcomer: Newcomer) {
        match newcomer {
            Newcomer::Good => drop(self.deploy_good()),
            Newcomer::Missing => {
                self.deploy_good();
                self.deployed.remove();
            }
            Newcomer::NotExecutable => self.deployed.install("/dev/null", "\x7fELF", 0o644),
            Newcomer::NoProgram => self.deployed.install("/dev/null", "hello\n", 0o755),
            Newcomer::Imposter(how) => self.deployed.replace(fixture!("imposter"), "x", how),
            Newcomer::Bad(how) => self.deployed.replace(fixture!("turmoil"), "bad", how),
        }
    }

    fn pick(&self, pick: u64) -> Option<Process> {
        let mut workers = self.program.workers();
        workers.sort_by_key(|worker| worker.pid);
        let count = workers.len().max(1) as u64;
        workers.into_iter().nth((pick % count) as usize)
    }

    fn each(&self, processes: impl IntoIterator<Item = Process>, signal: Signal) {
        for process in processes {
            send_signal(process.pid, signal);
        }
    }

    fn freeze(&mut self, process: Option<Process>, time: Duration) {
        if let Some(process) = process {
            send_signal(process.pid, Signal::STOP);
            self.frozen.push((Instant::now() + time, process.pid));
        }
    }
}

/// The limit of descriptors with which the program was started: its own, soft and hard.
fn usual_limit() -> Rlimit {
    let most = u64::try_from(DESCRIPTORS).ok();
    Rlimit { current: most, maximum: most }
}

fn set_limit(process: &Process, limit: Rlimit) -> bool {
    prlimit(Pid::from_raw(process.pid), Resource::Nofile, limit).is_ok()
}
