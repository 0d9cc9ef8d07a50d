//! The drain of a worker as its code sees it: by TERM to it alone, with other people's shutdown code,
//! with none.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use cluster_tests::{
    Running, Signal,
    client::{Load, Outcome, Tally, get},
    eventually, fixture, send_signal, setting,
};

/// Has workers drained and replaced under load, one after the other; no request is lost.
fn drains_under_load(workers: &str) {
    let program = Running::start(fixture!("serve"), &[], &[("CLUSTER_WORKERS", workers)]);
    let load = Load::start(program.address(), "/", 8, Duration::from_millis(1));
    for _ in 0..setting("CLUSTER_TEST_ROUNDS", 3) {
        let old = program.worker(0);
        let enough = load.so_far().total() + 100;
        eventually("some answers", || (load.so_far().total() >= enough).then_some(()));
        send_signal(old.pid, Signal::TERM);
        eventually("a replacement", || {
            program.workers().into_iter().find(|w| w.title == old.title && w.pid != old.pid)
        });
    }
    let enough = load.so_far().total() + 100;
    eventually("some answers", || (load.so_far().total() >= enough).then_some(()));
    let tally = load.stop();
    let fine = Tally { answered: tally.answered, ..Tally::default() };
    assert_eq!(tally, fine, "{:#?}", program.output());
    for line in program.lines(") exited: ", 3) {
        assert!(line.contains("exited: stopped; respawning in 0 ms"), "{line}");
    }
    program.stop();
}

#[test]
fn term_to_one_worker_has_it_drained_and_replaced() {
    drains_under_load("2");
}

#[test]
fn term_to_the_only_worker_refuses_nobody() {
    drains_under_load("1");
}

/// Stops a server that knows only tokio's shutdown snippet.
fn stops_by_its_snippet(arguments: &[&str], stop: impl Fn(&Running)) {
    let mut program = Running::start(fixture!("snippet"), arguments, &[]);
    let address = program.address();
    program.wait_for_workers(2);
    // Until both have installed their handlers, since they do that after the bind.
    for _ in 0..4 {
        assert!(matches!(get(address, "/"), Outcome::Answered(_)));
    }
    stop(&program);
    assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
    // At least: a worker that INT ended before the master knew of the stop may have been replaced.
    program.lines("snippet fired", 2);
}

#[test]
fn a_main_with_the_snippet_for_ctrl_c_stops_by_term() {
    stops_by_its_snippet(&["int"], |program| program.signal(Signal::TERM));
}

#[test]
fn a_main_with_the_snippet_for_ctrl_c_stops_by_int_to_every_process() {
    stops_by_its_snippet(&["int"], |program| program.signal_all(Signal::INT));
}

#[test]
fn a_main_with_the_snippet_for_term_stops_by_term() {
    stops_by_its_snippet(&[], |program| program.signal(Signal::TERM));
}

#[test]
fn a_main_with_the_snippet_for_term_stops_by_term_to_every_process() {
    stops_by_its_snippet(&[], |program| program.signal_all(Signal::TERM));
}

/// Sends a line and reads the answer.
fn converse(stream: &mut TcpStream) {
    stream.write_all(b"hello\n").expect("a connection");
    let mut answer = String::new();
    BufReader::new(&*stream).read_line(&mut answer).expect("an answer");
    assert_eq!(answer, "worker 0\n");
}

// Grace is far beyond the test's deadline, so ending at all is ending without it.
#[test]
fn a_main_that_takes_no_notice_ends_with_its_connections() {
    let mut program = Running::start(fixture!("raw"), &[], &[("CLUSTER_GRACE", "1h")]);
    let mut stream = TcpStream::connect(program.address()).expect("a connection");
    converse(&mut stream);
    program.signal(Signal::TERM);
    program.line("TERM: stopping");
    // It is served until its client closes it.
    converse(&mut stream);
    drop(stream);
    assert_eq!(program.exit_code(), 0);
    assert!(program.line(") exited: ").ends_with("exited: stopped"), "{:#?}", program.output());
}

#[test]
fn incoming_ends_at_the_drain() {
    let variables = [("CLUSTER_WORKERS", "2"), ("CLUSTER_GRACE", "1h")];
    let mut program = Running::start(fixture!("raw"), &["incoming"], &variables);
    program.address();
    program.wait_for_workers(2);
    let mut stream = TcpStream::connect(program.address()).expect("a connection");
    stream.write_all(b"hello\n").expect("a connection");
    program.signal(Signal::TERM);
    program.lines("incoming ended", 2);
    drop(stream);
    assert_eq!(program.exit_code(), 0);
}
