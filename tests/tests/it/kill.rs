//! Workers that are killed, stopped and hung: what their clients see.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use cluster_tests::{
    Running, Signal,
    client::{self, Load, Outcome, Tally, get},
    eventually, fixture, freeze, monotonic_ms, proc, send_signal, setting,
};

/// Between two kills of a storm.
const PAUSE: Duration = Duration::from_millis(150);

/// Nothing refused, nothing hung, and no more lost than the dead workers had open.
fn assert_bounded_loss(program: &Running, tally: &Tally, kills: usize) {
    let (exits, lost) = eventually("a line for each killed worker", || {
        Some(program.exits()).filter(|(exits, _)| *exits >= kills)
    });
    println!("{exits} workers killed, {lost} connections lost by their count, {tally:?}");
    assert_eq!((tally.refused, tally.hung), (0, 0), "{tally:?}");
    assert!(tally.other.is_empty(), "{tally:?}");
    assert!(tally.reset + tally.empty <= lost, "{tally:?}, {lost} lost");
}

/// From each kill to the `Ready` of the next worker of that slot, sorted.
pub(super) fn recoveries(program: &Running, kills: &[(i32, f64)]) -> Vec<f64> {
    let mut found: Vec<f64> = kills.iter().map(|(pid, at)| recovery(program, *pid) - at).collect();
    found.sort_by(f64::total_cmp);
    found
}

/// When the slot of the killed worker was ready again.
fn recovery(program: &Running, pid: i32) -> f64 {
    eventually("the end and the replacement of a killed worker", || {
        let lines = program.output();
        let mut events =
            lines.iter().filter_map(|line| line.strip_prefix("event ")?.split_once(' '));
        let (_, exited) = events.find(|(_, e)| e.contains(&format!("pid {pid}) exited")))?;
        let slot = exited.split_once(" (").expect("a slot").0;
        let (at, _) =
            events.find(|(_, e)| e.starts_with(&format!("{slot} (")) && e.ends_with(") ready"))?;
        Some(at.parse().expect("a time"))
    })
}

// By CLUSTER_TEST_CONNECTIONS this becomes the storm of 20 000 connections.
#[test]
fn a_storm_of_kills_costs_no_more_than_what_the_dead_had_open() {
    let connections = setting("CLUSTER_TEST_CONNECTIONS", 6_000);
    let program = Running::start(fixture!("watched"), &[], &[("CLUSTER_WORKERS", "3")]);
    let address = program.address();
    program.wait_for_workers(3);
    let load = Load::start(address, "/", 16, Duration::ZERO);
    let mut kills = Vec::new();
    while load.so_far().total() < connections || kills.len() < 10 {
        let workers = program.workers();
        // The time of day is as good as any dice.
        let die = (monotonic_ms() * 1e3) as usize;
        if let Some(victim) = workers.get(die % workers.len().max(1)) {
            kills.push((victim.pid, monotonic_ms()));
            send_signal(victim.pid, Signal::KILL);
        }
        thread::sleep(PAUSE);
    }
    let tally = load.stop();
    assert_bounded_loss(&program, &tally, kills.len());
    let times = recoveries(&program, &kills);
    println!(
        "SIGKILL to Ready: median {:.1} ms, longest {:.1} ms",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    program.stop();
}

#[test]
fn the_only_worker_may_be_killed_again_and_again_and_nobody_is_refused() {
    let program = Running::start(fixture!("serve"), &[], &[("CLUSTER_WORKERS", "1")]);
    let address = program.address();
    let load = Load::start(address, "/", 20, Duration::from_millis(40));
    for _ in 0..15 {
        send_signal(program.worker(0).pid, Signal::KILL);
        thread::sleep(PAUSE);
    }
    let tally = load.stop();
    assert_bounded_loss(&program, &tally, 15);
    assert!(tally.answered > 0, "{tally:?}");
    program.stop();
}

/// Connections with a request sent on each, all of them with the master or a worker.
fn ask(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let streams: Vec<TcpStream> = (0..count)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("a connection");
            client::send_request(&mut stream, "/").expect("a request");
            stream
        })
        .collect();
    eventually("the master's accepting", || (proc::backlog(address.port()) == 0).then_some(()));
    streams
}

/// The slots that answered, in the order of the connections.
fn answers(streams: Vec<TcpStream>) -> Vec<String> {
    streams
        .into_iter()
        .map(|mut stream| {
            stream.flush().expect("a connection");
            stream.set_read_timeout(Some(cluster_tests::DEADLINE)).expect("a socket");
            let answer = client::read_answer(&mut stream).expect("an answer");
            let answer = String::from_utf8(answer).expect("text");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
            answer.rsplit("\r\n").next().unwrap_or_default().trim().to_owned()
        })
        .collect()
}

#[test]
fn what_waits_at_the_only_worker_is_answered_by_its_replacement() {
    let program = Running::start(fixture!("serve"), &[], &[("CLUSTER_WORKERS", "1")]);
    let address = program.address();
    assert!(matches!(get(address, "/"), Outcome::Answered(_)));
    let worker = program.worker(0);
    freeze(&worker);
    let waiting = ask(address, 5);
    send_signal(worker.pid, Signal::KILL);
    assert_eq!(answers(waiting), ["worker 0"; 5]);
    assert_ne!(program.worker(0).pid, worker.pid);
    assert_eq!(program.exits().0, 1);
    program.stop();
}

#[test]
fn what_waits_at_a_stopped_worker_is_answered_by_the_other() {
    let program = Running::start(fixture!("serve"), &[], &[("CLUSTER_WORKERS", "2")]);
    let address = program.address();
    program.wait_for_workers(2);
    let stopped = program.worker(0);
    freeze(&stopped);
    // Its share of these goes to it at first, and is taken back.
    assert_eq!(answers(ask(address, 10)), ["worker 1"; 10]);
    send_signal(stopped.pid, Signal::CONT);
    eventually("an answer of the worker that goes on", || {
        (get(address, "/") == Outcome::Answered("worker 0".to_owned())).then_some(())
    });
    assert_eq!(program.worker(0).pid, stopped.pid);
    program.stop();
}

// The replacement may have begun or not when the stop comes; what waits is owed an answer either way.
#[test]
fn what_waits_at_a_killed_worker_is_answered_although_the_cluster_stops() {
    for _ in 0..setting("CLUSTER_TEST_ROUNDS", 3) {
        let mut program = Running::start(fixture!("serve"), &[], &[("CLUSTER_WORKERS", "1")]);
        let address = program.address();
        assert!(matches!(get(address, "/"), Outcome::Answered(_)));
        let worker = program.worker(0);
        freeze(&worker);
        let waiting = ask(address, 5);
        send_signal(worker.pid, Signal::KILL);
        program.signal(Signal::TERM);
        assert_eq!(answers(waiting), ["worker 0"; 5], "{:#?}", program.output());
        assert_eq!(program.exit_code(), 0);
    }
}
