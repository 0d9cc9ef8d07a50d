//! A server that runs: its processes, what they have used, and its end.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use cluster_tests::{DEADLINE, Running, Signal, eventually, proc::Process, send_signal};

use crate::{
    clients::is_answered,
    guard,
    peers::{Contestant, Peer, Sign},
    programs::Folder,
};

/// How often somebody who waits for an answer asks.
const BEAT: Duration = Duration::from_micros(200);

/// Less CPU than this in a beat is nothing. Who does not come to rest is measured as it is.
const IDLE: Duration = Duration::from_micros(500);
const SETTLE_BEAT: Duration = Duration::from_millis(100);
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// A server, in a process group of its own.
#[derive(Debug)]
pub(crate) struct Server {
    contestant: Contestant,
    pub(crate) address: SocketAddr,
    /// From exec until all workers were ready.
    pub(crate) start: Duration,
    running: Running,
    _folder: Option<Folder>,
}

impl Server {
    /// Starts it and waits until all its workers are ready.
    ///
    /// # Panics
    /// If they are not within the deadline.
    pub(crate) fn start(contestant: &Contestant) -> Self {
        let mut address = free_address();
        let folder = contestant.folder(address);
        let path = folder.as_ref().map_or(Path::new("/"), |folder| &folder.0);
        let command = contestant.command(address, path);
        let begun = Instant::now();
        let running = guard::start(command);
        match contestant.sign() {
            Sign::Lines(text, count) => {
                running.lines(text, count);
            }
            Sign::Answer => wait_for_answer(contestant, address),
        }
        let start = begun.elapsed();
        if contestant.peer.chooses_port() {
            address = running.address();
        }
        Self { contestant: *contestant, address, start, running, _folder: folder }
    }

    fn processes(&self) -> Vec<Process> {
        self.running.processes()
    }

    /// Those of its processes that answer requests.
    pub(crate) fn workers(&self) -> Vec<i32> {
        let mut processes = self.processes();
        let leader = self.running.pid();
        match self.contestant.peer {
            Peer::Single | Peer::Threads | Peer::ReusePort => {}
            Peer::Cluster(_) => processes.retain(|process| process.title.contains(": worker ")),
            _ => processes.retain(|process| process.parent == leader),
        }
        processes.into_iter().map(|process| process.pid).collect()
    }

    /// The processor time that all its processes have used, those that it has reaped too.
    pub(crate) fn cpu(&self) -> Duration {
        let live = self.processes().iter().map(|process| run_time(process.pid)).sum::<Duration>();
        live + reaped_time(self.running.pid())
    }

    /// Waits until it does nothing: some go on with their start after the first answer.
    pub(crate) fn settle(&self) {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        let mut before = self.cpu();
        loop {
            thread::sleep(SETTLE_BEAT);
            let now = self.cpu();
            if now.saturating_sub(before) < IDLE || Instant::now() > deadline {
                return;
            }
            before = now;
        }
    }

    /// The memory of all its processes, in MiB; what several share counts once. `None` if it is a secret.
    pub(crate) fn memory(&self) -> Option<f64> {
        self.processes().iter().map(|process| pss(process.pid)).sum()
    }

    /// The memory of one of its workers, in MiB.
    pub(crate) fn workers_memory(&self) -> Option<f64> {
        let workers = self.workers();
        let sum: f64 = workers.iter().map(|&worker| pss(worker)).sum::<Option<f64>>()?;
        Some(sum / workers.len() as f64)
    }

    /// Kills its only worker; how long it takes until a client is served again.
    pub(crate) fn kill_worker(&self) -> Duration {
        let worker = eventually("a single worker", || match self.workers()[..] {
            [worker] => Some(worker),
            _ => None,
        });
        let begun = Instant::now();
        send_signal(worker, Signal::KILL);
        wait_for_answer(&self.contestant, self.address);
        let elapsed = begun.elapsed();
        assert!(!self.workers().contains(&worker), "it was another one that answered");
        elapsed
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // `Running`, which is dropped next, kills the group; the port is free when all are gone.
        guard::remove(self.running.pid());
        let pid = self.running.pid();
        let _ = rustix::process::Pid::from_raw(pid)
            .map(|group| rustix::process::kill_process_group(group, Signal::KILL));
        let deadline = Instant::now() + Duration::from_secs(5);
        while !self.processes().is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// An address on which nobody listens; somebody else might, by the time it is used.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound")
}

fn wait_for_answer(contestant: &Contestant, address: SocketAddr) {
    let deadline = Instant::now() + DEADLINE;
    while !is_answered(address) {
        assert!(Instant::now() < deadline, "{contestant:?} does not answer");
        thread::sleep(BEAT);
    }
}

/// What the threads of a process have run; in nanoseconds, where `stat` has hundredths of a second.
fn run_time(pid: i32) -> Duration {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let nanoseconds = |path: PathBuf| -> Option<u64> {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse().ok()
    };
    let each = tasks.filter_map(|task| nanoseconds(task.ok()?.path()));
    Duration::from_nanos(each.sum())
}

/// What children of a process had used that it has reaped.
fn reaped_time(pid: i32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    // cutime and cstime are fields 16 and 17; the state, which comes first here, is field 3.
    let times = fields.split_ascii_whitespace().skip(13).take(2);
    let ticks = times.filter_map(|time| time.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(10 * ticks)
}

fn pss(pid: i32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib / 1024.0)
}
