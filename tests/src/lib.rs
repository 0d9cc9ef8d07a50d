//! The test harness: starts a fixture program, reads what it says, looks at its processes, and leaves
//! none of them behind.
//!
//! Looks from outside only: lines, sockets, `/proc`, signals, exit status. Every wait has a deadline,
//! far beyond what a loaded machine needs, and none is a bare sleep.

pub mod answer;
pub mod browser;
pub mod client;
pub mod deploy;
pub mod events;
pub mod foreign;
pub mod keep_alive;
mod output;
pub mod pattern;
pub mod proc;
pub mod receipts;
pub mod websocket;

use std::{
    fmt::Debug,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group};

pub use self::output::End;
use self::output::Lines;

/// How long a test waits for something that has to happen. No test is faster for a shorter one.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The path of a fixture program of this package.
#[macro_export]
macro_rules! fixture {
    ($name:literal) => {
        env!(concat!("CARGO_BIN_EXE_", $name))
    };
}

/// A fixture program that runs, and every process that it started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Arc<Lines>,
}

impl Running {
    /// Starts the program at `path`, in a process group of its own, with lines of life cycle.
    pub fn start(path: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(path);
        command.args(arguments);
        // Those by which somebody tunes the tests are not for the program.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CLUSTER_") {
                command.env_remove(name);
            }
        }
        command.envs(variables.iter().copied());
        Self::start_command(command)
    }

    /// Starts a command that the test has set up, in a process group of its own, with its output
    /// piped here.
    pub fn start_command(mut command: Command) -> Self {
        command.process_group(0).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::start_as_is(command)
    }

    /// Starts a command whose streams and group the test has set up; the group must be its own.
    pub fn start_as_is(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the fixture program starts");
        let lines = Arc::new(Lines::default());
        if let Some(stdout) = child.stdout.take() {
            output::read(stdout, &lines);
        }
        if let Some(stderr) = child.stderr.take() {
            output::read(stderr, &lines);
        }
        Self { child, lines }
    }

    /// The pid of the master (or of the only process, with `workers = 0`).
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// Everything that was written so far.
    pub fn output(&self) -> Vec<String> {
        self.lines.seen()
    }

    /// Waits for a line that contains `text`, and returns the first such.
    pub fn line(&self, text: &str) -> String {
        self.lines(text, 1).remove(0)
    }

    /// Waits until `count` lines contain `text`, and returns them.
    pub fn lines(&self, text: &str, count: usize) -> Vec<String> {
        self.lines.wait_for(text, count)
    }

    /// Gives the master of `steered` an order, and returns what came of it.
    ///
    /// # Panics
    /// If nothing does within the deadline.
    pub fn order(&self, order: &str) -> String {
        self.begin_order(order).outcome()
    }

    /// Gives the master of `steered` an order.
    pub fn begin_order(&self, order: &str) -> Ordered {
        let line = self.line("orders to ");
        let (_, address) = line.rsplit_once(' ').expect("an address at the end of the line");
        let mut stream = TcpStream::connect(address).expect("the master listens");
        writeln!(stream, "{order}").expect("the master reads");
        Ordered { order: order.to_owned(), stream }
    }

    /// Waits for `listening on ADDRESS` and returns the address.
    pub fn address(&self) -> SocketAddr {
        let line = self.line("listening on ");
        let (_, address) = line.rsplit_once(' ').expect("an address at the end of the line");
        address.trim_start_matches("http://").parse().expect("an address")
    }

    /// Waits until everything that its processes wrote has been read; they have to end for that.
    pub fn wait_for_output(&self) {
        eventually("the end of the output", || self.lines.are_all().then_some(()));
    }

    /// The processes of this program that live, by `/proc`; zombies do not live.
    pub fn processes(&self) -> Vec<proc::Process> {
        proc::of_group(self.pid())
    }

    /// The workers that live, by title.
    pub fn workers(&self) -> Vec<proc::Process> {
        self.processes().into_iter().filter(|p| p.title.contains(": worker ")).collect()
    }

    /// The zygote, if one lives.
    pub fn zygote(&self) -> Option<proc::Process> {
        self.processes().into_iter().find(|p| p.title.contains(": zygote "))
    }

    /// The worker that sits in `slot`; waits for one to live.
    pub fn worker(&self, slot: usize) -> proc::Process {
        let suffix = format!(": worker {slot}");
        eventually(&format!("a worker in slot {slot}"), || {
            self.processes().into_iter().find(|p| p.title.ends_with(&suffix))
        })
    }

    /// Waits until `count` workers live.
    pub fn wait_for_workers(&self, count: usize) {
        eventually(&format!("{count} workers"), || (self.workers().len() == count).then_some(()));
    }

    /// Sends a signal to the master.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Sends a signal to every process of the program, as a terminal does.
    pub fn signal_all(&self, signal: Signal) {
        let group = Pid::from_raw(self.pid()).expect("a pid");
        kill_process_group(group, signal).expect("the group lives");
    }

    /// What the lines of ended workers say in sum: how many ended, and how many connections they lost.
    pub fn exits(&self) -> (usize, u64) {
        let ends = self.ends();
        (ends.len(), ends.iter().map(|end| end.lost).sum())
    }

    /// What the lines of ended workers say.
    pub fn ends(&self) -> Vec<End> {
        self.lines.ends()
    }

    /// Waits for the end of the master and returns its status.
    pub fn exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = child.try_wait().expect("a child of this process") {
                return status;
            }
            let late = Instant::now() >= deadline;
            assert!(!late, "the master did not end; it said {:#?}", self.lines.seen());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for the end of the master, checks that no process of it is left, and returns the code.
    pub fn exit_code(&mut self) -> i32 {
        let status = self.exit();
        self.wait_for_nobody();
        status.code().unwrap_or_else(|| panic!("{status}; it said {:#?}", self.output()))
    }

    /// Waits until no process of the program lives.
    pub fn wait_for_nobody(&self) {
        eventually("the end of every process", || self.processes().is_empty().then_some(()));
    }

    /// TERM, then the end with code 0 and nobody left.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.exit_code(), 0, "{:#?}", self.output());
    }
}

/// An order whose outcome is yet to come.
#[derive(Debug)]
pub struct Ordered {
    order: String,
    stream: TcpStream,
}

impl Ordered {
    /// Waits for what comes of it.
    ///
    /// # Panics
    /// If nothing does within the deadline.
    pub fn outcome(mut self) -> String {
        self.stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let mut outcome = String::new();
        let read = self.stream.read_to_string(&mut outcome);
        read.unwrap_or_else(|error| panic!("{}: {error}", self.order));
        outcome
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Also what a failed test leaves: stopped, spinning or orphaned processes.
        if let Some(group) = Pid::from_raw(self.pid()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Milliseconds of the clock that every process reads the same.
pub fn monotonic_ms() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0)).as_secs_f64()
        * 1e3
}

/// A number from the environment that makes a test longer, or what is usual.
pub fn setting(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |value| value.parse().expect("a number in the variable"))
}

/// Sends a signal to one process.
pub fn send_signal(pid: i32, signal: Signal) {
    // One that has ended meanwhile is what some tests provoke.
    let _ = kill_process(Pid::from_raw(pid).expect("a pid"), signal);
}

/// Stops a process, and waits until it is: until then it goes on doing what it does.
///
/// # Panics
/// If it ends instead.
pub fn freeze(process: &proc::Process) {
    send_signal(process.pid, Signal::STOP);
    let state = || proc::Process::look(process.pid).expect("it does not end").state;
    eventually("a stopped process", || (state() == 'T').then_some(()));
}

/// Looks until `look` finds something.
///
/// # Panics
/// After the deadline, naming `what` was not found.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: did not come about in {DEADLINE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Says that something is not tested here, past the test harness, which keeps the output of tests that
/// pass to itself.
///
/// # Panics
/// If nothing may be skipped, as in CI: `CLUSTER_TEST_NO_SKIP` is set.
pub fn skip(what: &str) {
    assert!(std::env::var_os("CLUSTER_TEST_NO_SKIP").is_none(), "skipped: {what}");
    // If nobody can read it, nobody is misled.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: {what}");
}

/// Looks until `look` finds `expected`.
///
/// # Panics
/// After the deadline, showing what was found last.
pub fn eventually_is<T: PartialEq + Debug>(expected: &T, mut look: impl FnMut() -> T) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let found = look();
        if found == *expected {
            return;
        }
        assert!(Instant::now() < deadline, "expected {expected:#?}, found at last {found:#?}");
        thread::sleep(Duration::from_millis(2));
    }
}
