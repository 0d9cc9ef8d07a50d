//! What a broadcast of the master costs, by the programs of the benchmarks: they are told how many to send and say
//! how long that took, until every worker had all.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use cluster_tests::DEADLINE;

use crate::{
    peers::{Contestant, OURS, Peer},
    programs::{bench_node, own},
};

/// The text of a message; beside it there is a number.
const BYTES: &str = "64";

/// How many are sent before anything is measured. Code that is compiled while it runs is, then.
const WARM_UP: u64 = 2_000;

/// How long one broadcast to all workers takes, in microseconds; `None` of those that have none, or of a schedule
/// that makes no difference to it.
pub(crate) fn measure(contestant: &Contestant, duration: Duration) -> Option<f64> {
    let mut command = match contestant.peer {
        peer if peer == OURS.peer => {
            let mut command = Command::new(own("bench_cluster"));
            command.env("CLUSTER_LOG", "warn").env_remove("CLUSTER_WORKERS");
            command
        }
        Peer::Node("rr") => {
            let mut command = Command::new("node");
            command.arg(bench_node());
            command
        }
        _ => return None,
    };
    command.args(["broadcast", &contestant.workers.to_string(), BYTES]);
    let mut player = Player::start(command);
    let warm = player.run(WARM_UP).as_secs_f64() / WARM_UP as f64;
    let count = ((duration.as_secs_f64() / warm) as u64).max(WARM_UP / 10);
    Some(player.run(count).as_secs_f64() * 1e6 / count as f64)
}

/// A program of the benchmarks that runs. It ends when its stdin does, also if this process just dies.
struct Player {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
}

impl Player {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a program of the benchmarks");
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
        let player = Self { stdin: process.stdin.take(), process, lines };
        assert_eq!(player.line(), "ready");
        player
    }

    fn run(&mut self, count: u64) -> Duration {
        writeln!(self.stdin.as_mut().expect("it is piped"), "{count}").expect("it reads");
        Duration::from_nanos(self.line().parse().expect("nanoseconds"))
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("a line")
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // Fails only if it has ended meanwhile.
                let _ = self.process.kill();
                let _ = self.process.wait();
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}
