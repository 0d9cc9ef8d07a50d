//! The master's branch: orders by the handle, its own end, and the events it sees.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
};

use cluster_tests::{Running, Signal, client::get, eventually, fixture, send_signal};

/// A cluster of two workers that serve, and where its master takes an order.
fn start(variables: &[(&str, &str)]) -> (Running, SocketAddr) {
    let program = Running::start(fixture!("ordered"), &[], variables);
    program.address();
    let line = program.line("orders to ");
    // Both have answered, so both are ready.
    converse(&program);
    converse(&program);
    (program, line.trim_start_matches("orders to ").parse().expect("an address"))
}

/// A connection on which a worker has answered.
fn converse(program: &Running) -> TcpStream {
    program.wait_for_workers(2);
    let mut stream = TcpStream::connect(program.address()).expect("a connection");
    stream.write_all(b"hello\n").expect("a connection");
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).expect("an answer");
    assert_eq!(answer, "here\n");
    stream
}

fn order(to: SocketAddr, word: &str) {
    let mut stream = TcpStream::connect(to).expect("the branch listens");
    stream.write_all(word.as_bytes()).expect("an order");
}

#[test]
fn an_ordered_stop_is_done_when_the_last_worker_is_reaped() {
    let (mut program, orders) = start(&[]);
    order(orders, "stop");
    assert_eq!(program.line("drained "), "drained 2, killed 0");
    assert_eq!(program.workers(), []);
    assert_eq!(program.exit_code(), 0);
}

#[test]
fn an_ordered_stop_tells_whom_it_had_to_kill() {
    let (mut program, orders) = start(&[("CLUSTER_GRACE", "300ms")]);
    let _held = converse(&program);
    order(orders, "stop");
    assert_eq!(program.line("drained "), "drained 1, killed 1");
    assert_eq!(program.exit_code(), 0);
}

#[test]
fn an_ordered_kill_waits_for_nobody() {
    let (mut program, orders) = start(&[]);
    let _held = converse(&program);
    order(orders, "kill");
    assert_eq!(program.line("drained "), "drained 0, killed 2");
    assert_eq!(program.workers(), []);
    assert_eq!(program.exit_code(), 137);
}

#[test]
fn a_branch_that_fails_stops_the_cluster_with_its_code() {
    for (word, code) in [("fail", 7), ("panic", 101)] {
        let (mut program, orders) = start(&[]);
        order(orders, word);
        assert_eq!(program.exit_code(), code);
        let exits = program.lines(") exited: ", 2);
        assert!(exits.iter().all(|line| line.ends_with("exited: stopped")), "{exits:?}");
        program.line(&format!("the master's branch failed (code {code}): stopping"));
    }
}

#[test]
fn a_branch_that_ends_well_leaves_the_cluster_running() {
    let (program, orders) = start(&[]);
    order(orders, "leave");
    eventually("the branch's end", || TcpStream::connect(orders).is_err().then_some(()));
    // Supervision goes on as well.
    let old = program.worker(0);
    send_signal(old.pid, Signal::KILL);
    eventually("a replacement", || (program.worker(0).pid != old.pid).then_some(()));
    converse(&program);
    program.stop();
}

/// The events of one worker, without its identity, and without how many connections were lost: a
/// worker that is killed may just have answered one and not yet have counted it as closed.
fn events_of(program: &Running, id: u32) -> Vec<String> {
    let mark = format!("(worker {id}");
    let lines = program.output();
    let events = lines.iter().filter_map(|line| line.strip_prefix("event ")?.split_once(' '));
    let own = events
        .filter(|(_, e)| e.contains(&format!("{mark})")) || e.contains(&format!("{mark}, pid ")));
    let what = |event: &str| event.split_once(") ").expect("what happened").1.to_owned();
    own.map(|(_, event)| what(event.split(", 1 connection lost").next().unwrap_or(event))).collect()
}

#[test]
fn a_life_is_told_in_order() {
    let mut program = Running::start(fixture!("watched"), &[], &[("CLUSTER_WORKERS", "1")]);
    let address = program.address();
    get(address, "/");
    let listens = format!("listens on {address}");
    let old = program.worker(0);
    send_signal(old.pid, Signal::KILL);
    // Only events say when a worker is ready; the life-cycle lines do not.
    program.line("slot 0 (worker 2) ready");
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code(), 0);
    // One from the events, one from the life-cycle lines.
    program.lines(") exited: stopped", 2);
    let begin = ["spawned", "online", listens.as_str(), "ready"];
    let killed = ["disconnected", "exited: SIGKILL"];
    assert_eq!(events_of(&program, 1), [&begin[..], &killed[..]].concat());
    let drained = ["draining", "disconnected", "exited: stopped"];
    assert_eq!(events_of(&program, 2), [&begin[..], &drained[..]].concat());
}
