//! A peer as seen from outside: which there are, starting one, and giving it work.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use cluster_benches::{Row, Scene};

/// How long a peer may take for anything; then it hangs, and the benchmark fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to end.
const END_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Cluster,
    BareTokio,
    Node,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::BareTokio => "bare tokio",
            Self::Node => "Node",
        }
    }

    pub(crate) fn plays(self, row: Row) -> bool {
        self != Self::BareTokio || row.scene != Scene::Broadcast
    }

    fn command(self) -> Command {
        match self {
            Self::Cluster => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_bench_cluster"));
                command.env("CLUSTER_LOG", "warn");
                command
            }
            Self::BareTokio => Command::new(env!("CARGO_BIN_EXE_bench_bare_tokio")),
            Self::Node => {
                let mut command = Command::new("node");
                command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/bench_node.js"));
                command
            }
        }
    }
}

/// The peers that can be started on this machine.
pub(crate) fn present() -> Vec<Kind> {
    let mut present = vec![Kind::Cluster, Kind::BareTokio];
    match Command::new("node").arg("--version").output() {
        Ok(output) if output.status.success() => {
            println!("Node is {}", String::from_utf8_lossy(&output.stdout).trim());
            present.push(Kind::Node);
        }
        _ => println!("SKIPPED: every row of Node, because there is no `node` in PATH"),
    }
    present
}

/// A peer that runs.
#[derive(Debug)]
pub(crate) struct Peer {
    kind: Kind,
    process: Child,
    lines: mpsc::Receiver<String>,
}

impl Peer {
    pub(crate) fn start(kind: Kind, row: Row) -> Self {
        let mut process = kind
            .command()
            .args(row.to_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{kind:?} does not start: {error}"));
        let out = BufReader::new(process.stdout.take().expect("it is piped"));
        let (tell, lines) = mpsc::channel();
        // A thread, so that waiting for a line can have an end.
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        let peer = Self { kind, process, lines };
        assert_eq!(peer.line(), "ready", "{kind:?}");
        peer
    }

    /// So many iterations; how long they took.
    pub(crate) fn run(&mut self, count: u64) -> Duration {
        let stdin = self.process.stdin.as_mut().expect("it is piped");
        stdin
            .write_all(format!("{count}\n").as_bytes())
            .unwrap_or_else(|error| panic!("{:?} has died: {error}", self.kind));
        let line = self.line();
        let nanoseconds = line.parse();
        let nanoseconds = nanoseconds.unwrap_or_else(|_| panic!("{:?}: {line}", self.kind));
        Duration::from_nanos(nanoseconds)
    }

    fn line(&self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.unwrap_or_else(|error| panic!("{:?} says nothing: {error}", self.kind))
    }
}

impl Drop for Peer {
    /// Ends it, which it does by itself when its stdin ends.
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let deadline = Instant::now() + END_PATIENCE;
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                println!("{:?} did not end by itself", self.kind);
                // Fails only if it has ended meanwhile.
                let _ = self.process.kill();
                let _ = self.process.wait();
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}
