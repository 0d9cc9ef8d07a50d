//! The cluster's stop: under load, twice, by each signal, at `grace`.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use cluster_tests::{
    Running, Signal,
    client::{Load, Outcome, Tally, connect, get},
    eventually, fixture, freeze,
    keep_alive::KeepAlive,
    send_signal, setting,
};

/// Stops a loaded cluster some times; every connect is answered or refused, and nobody is left.
fn stops_under_load(stop: impl Fn(&Running)) {
    for round in 0..setting("CLUSTER_TEST_ROUNDS", 3) {
        let mut program = Running::start(fixture!("serve"), &[], &[("CLUSTER_WORKERS", "3")]);
        let load = Load::start(program.address(), "/", 8, Duration::from_micros(500));
        eventually("some answers", || (load.so_far().answered >= 300).then_some(()));
        stop(&program);
        assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
        let tally = load.stop();
        let fine = Tally { answered: tally.answered, refused: tally.refused, ..Tally::default() };
        assert_eq!(tally, fine, "round {round}: {:#?}", program.output());
        assert!(program.exits().0 >= 3, "{:#?}", program.output());
    }
}

#[test]
fn a_stop_by_term_to_the_master_resets_nobody() {
    stops_under_load(|program| program.signal(Signal::TERM));
}

// As systemd does by default.
#[test]
fn a_stop_by_term_to_every_process_resets_nobody() {
    stops_under_load(|program| program.signal_all(Signal::TERM));
}

// As a terminal does at Ctrl-C.
#[test]
fn a_stop_by_int_to_every_process_resets_nobody() {
    stops_under_load(|program| program.signal_all(Signal::INT));
}

/// A connection that a worker of `raw` serves and that stays open.
fn hold(program: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(program.address()).expect("a connection");
    stream.write_all(b"hello\n").expect("a connection");
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).expect("an answer");
    assert_eq!(answer, "worker 0\n");
    stream
}

#[test]
fn a_worker_that_holds_an_idle_connection_is_ended_at_grace() {
    let mut program = Running::start(fixture!("raw"), &[], &[("CLUSTER_GRACE", "500ms")]);
    let _held = hold(&program);
    let asked = Instant::now();
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code(), 0);
    assert!(asked.elapsed() >= Duration::from_millis(500), "before grace was over");
    let line = program.line(") exited: ");
    assert!(line.ends_with("exited: stopped (SIGKILL), 1 connection lost"), "{line}");
}

#[test]
fn term_twice_is_term_once() {
    let mut program = Running::start(fixture!("raw"), &[], &[]);
    let held = hold(&program);
    for count in 1..=2 {
        program.signal(Signal::TERM);
        program.lines("TERM: stopping", count);
    }
    drop(held);
    assert_eq!(program.exit_code(), 0);
    assert!(program.line(") exited: ").ends_with("exited: stopped"), "{:#?}", program.output());
}

#[test]
fn the_second_int_kills_but_not_within_a_second() {
    let mut program = Running::start(fixture!("raw"), &[], &[]);
    let _held = hold(&program);
    program.signal(Signal::INT);
    program.lines("INT: stopping", 1);
    // One of a key held down, on a machine that is not too busy; then the one that counts.
    program.signal(Signal::INT);
    thread::sleep(Duration::from_millis(1100));
    program.signal(Signal::INT);
    assert_eq!(program.exit_code(), 130);
    assert!(program.line(") exited: ").contains("exited: stopped (SIGKILL)"));
}

#[test]
fn two_ints_at_once_are_one() {
    let mut program = Running::start(fixture!("raw"), &[], &[]);
    let held = hold(&program);
    program.signal(Signal::INT);
    program.signal(Signal::INT);
    program.lines("INT: stopping", 1);
    drop(held);
    assert_eq!(program.exit_code(), 0);
}

/// Stops a program whose one worker does not accept, while connections wait for it; `arguments` say why.
fn stops_unserved(arguments: &[&str], before: impl Fn(&Running)) -> Running {
    let arguments = [&["tcp", "127.0.0.1:0"], arguments].concat();
    // Longer than the test's patience.
    let settings = [("CLUSTER_WORKERS", "1"), ("CLUSTER_GRACE", "100s")];
    let mut program = Running::start(fixture!("listens"), &arguments, &settings);
    before(&program);
    program.line("slot 0 accepts no more");
    let waiting: Vec<_> = (0..3).map(|_| TcpStream::connect(program.address())).collect();
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
    drop(waiting);
    let line = program.line(") exited: ");
    assert!(line.ends_with("exited: stopped"), "it was left the time to drain: {line}");
    program
}

#[test]
fn connections_to_a_worker_that_never_accepts_do_not_hold_up_a_stop() {
    let program = stops_unserved(&["connections=0", "keep"], |_| {});
    program.line("stop: closed 3 connections that no worker accepts");
}

// What waits may be closed with the listener before the stop, or by it.
#[test]
fn connections_to_a_listener_that_was_dropped_do_not_hold_up_a_stop() {
    stops_unserved(&["connections=1"], |program| {
        assert!(matches!(get(program.address(), "/"), Outcome::Answered(_)));
    });
}

#[test]
fn connections_that_the_queue_of_a_frozen_worker_cannot_hold_do_not_hold_up_a_stop() {
    let settings = [("CLUSTER_WORKERS", "1"), ("CLUSTER_GRACE", "100s")];
    let mut program = Running::start(fixture!("listens"), &["tcp", "127.0.0.1:0"], &settings);
    assert!(matches!(get(program.address(), "/"), Outcome::Answered(_)));
    let worker = program.worker(0);
    freeze(&worker);
    // Some 130 fit into a queue at a stop.
    let waiting: Vec<_> = (0..300).map(|_| connect(program.address())).collect();
    program.signal(Signal::TERM);
    let line = program.line("connections that no worker accepts");
    assert!(line.contains("stop: closed "), "{line}");
    drop(waiting);
    send_signal(worker.pid, Signal::CONT);
    assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
    let line = program.line(") exited: ");
    assert!(line.ends_with("exited: stopped"), "it was left the time to drain: {line}");
}

#[test]
fn quit_kills_at_once() {
    let mut program = Running::start(fixture!("raw"), &[], &[]);
    let _held = hold(&program);
    program.signal(Signal::QUIT);
    assert_eq!(program.exit_code(), 131);
    assert!(program.line(") exited: ").ends_with("stopped (SIGKILL), 1 connection lost"));
}

// As a load balancer asks that is to send nobody any more.
#[test]
fn during_the_stop_delay_workers_and_master_know_and_serve() {
    let variables = [("CLUSTER_STOP_DELAY", "1h")];
    let mut program = Running::start(fixture!("steered"), &[], &variables);
    program.wait_for_workers(2);
    let readyz = || get(program.address(), "/readyz");
    assert_eq!(readyz(), Outcome::Answered("true".to_owned()));
    program.signal(Signal::TERM);
    program.line("event stopping");
    program.lines("a worker hears of the stop", 2);
    for _ in 0..2 {
        assert_eq!(readyz(), Outcome::Answered("false".to_owned()));
    }
    program.signal(Signal::QUIT);
    assert_eq!(program.exit_code(), 131);
}

#[test]
fn a_cluster_with_a_stop_delay_goes_on_accepting_for_that_long() {
    let mut program = Running::start(fixture!("serve"), &[], &[("CLUSTER_STOP_DELAY", "3s")]);
    let address = program.address();
    program.wait_for_workers(2);
    let asked = Instant::now();
    program.signal(Signal::TERM);
    program.line("TERM: stopping");
    assert!(matches!(get(address, "/"), Outcome::Answered(_)));
    assert_eq!(program.exit_code(), 0);
    assert!(asked.elapsed() >= Duration::from_secs(3), "before the delay was over");
    assert_eq!(get(address, "/"), Outcome::Refused);
}

// The layer tells clients to close before the server does, so no request meets a closing connection.
#[test]
fn keep_alive_clients_get_an_answer_or_a_close_before_they_ask() {
    for _ in 0..setting("CLUSTER_TEST_ROUNDS", 3) {
        let mut program = Running::start(fixture!("serve"), &[], &[]);
        let load = KeepAlive::start(program.address(), 8, Duration::from_millis(5));
        eventually("some answers", || {
            (load.counts().answered.load(std::sync::atomic::Ordering::Relaxed) >= 200).then_some(())
        });
        program.signal(Signal::TERM);
        assert_eq!(program.exit_code(), 0);
        let counts = load.stop();
        println!("{counts:?}");
        assert_eq!(counts.unanswered.load(std::sync::atomic::Ordering::Relaxed), 0, "{counts:?}");
        assert_eq!(
            counts.told_to_close.load(std::sync::atomic::Ordering::Relaxed),
            8,
            "{counts:?}"
        );
    }
}
