//! Workers that end by themselves: at the start, well, badly, never ready.

use std::net::{TcpListener, TcpStream};

use cluster_tests::{
    Running, Signal,
    client::{Load, Tally},
    eventually, fixture,
};

const RESPAWN: (&str, &str) = ("CLUSTER_RESPAWN", "always");

fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Running {
    Running::start(fixture!("ends"), arguments, variables)
}

/// How many lines contain `text`, when the program has ended.
fn count(program: &Running, text: &str) -> usize {
    // Its reader may be behind the program's end; every end is told, and told last.
    program.output().iter().filter(|line| line.contains(text)).count()
}

/// Runs to the end, and returns the exit code and the number of times that main began.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, usize, Running) {
    let mut program = start(arguments, variables);
    let code = program.exit_code();
    program.wait_for_output();
    (code, count(&program, "begun"), program)
}

#[test]
fn a_main_that_fails_before_ready_is_started_five_times() {
    let (code, starts, program) = run(&["err"], &[RESPAWN]);
    assert_eq!((code, starts), (70, 5), "{:#?}", program.output());
    assert_eq!(count(&program, "the flux capacitor is missing"), 5);
    assert_eq!(count(&program, "failed to start (code 1)"), 5);
    program.line("gave up after 5 failed starts");
}

#[test]
fn a_main_that_panics_before_ready_is_started_five_times() {
    let (code, starts, program) = run(&["panic"], &[RESPAWN]);
    assert_eq!((code, starts), (70, 5), "{:#?}", program.output());
    assert_eq!(count(&program, "the flux capacitor is on fire"), 5);
}

#[test]
fn a_main_that_fails_soon_after_it_accepts_is_given_up_too() {
    let one = ("CLUSTER_WORKERS", "1");
    let (code, starts, program) = run(&["late"], &[RESPAWN, one]);
    assert_eq!((code, starts), (70, 5), "{:#?}", program.output());
    program.line("gave up after 5 failed starts");
}

#[test]
fn failures_are_warnings() {
    let (code, _, program) = run(&["err"], &[RESPAWN, ("CLUSTER_LOG", "warn")]);
    assert_eq!(code, 70);
    assert_eq!(count(&program, "failed to start (code 1)"), 5, "{:#?}", program.output());
}

#[test]
fn give_up_says_how_often() {
    let (code, starts, program) = run(&["err"], &[RESPAWN, ("CLUSTER_GIVE_UP", "2")]);
    assert_eq!((code, starts), (70, 2), "{:#?}", program.output());
}

// More failures than would end a cluster that cannot start anything, and a short enough backoff for it.
#[test]
fn one_slot_that_cannot_start_ends_nothing() {
    let variables = [RESPAWN, ("CLUSTER_BACKOFF", "20ms..100ms")];
    let program = start(&["slot"], &variables);
    let address = program.address();
    program.lines("slot 3 is unlucky", 8);
    let load = Load::start(address, "/", 2, std::time::Duration::from_millis(1));
    eventually("some answers", || (load.so_far().answered >= 50).then_some(()));
    let tally = load.stop();
    assert_eq!(tally, Tally { answered: tally.answered, ..Tally::default() });
    program.stop();
}

#[test]
fn a_port_in_use_is_named_and_ends_the_cluster() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = other.local_addr().expect("an address").to_string();
    let (code, starts, program) = run(&["bind", &address], &[]);
    assert_eq!((code, starts), (1, 1), "{:#?}", program.output());
    let error = program.line("AddrInUse");
    assert!(error.contains(&address) && error.contains("in use"), "{error}");
}

#[test]
fn help_prints_once() {
    for variables in [&[][..], &[RESPAWN]] {
        let (code, starts, program) = run(&["--help"], variables);
        assert_eq!((code, starts), (0, 1), "{:#?}", program.output());
        assert_eq!(count(&program, "usage: ends"), 1);
    }
}

#[test]
fn a_bad_flag_is_told_once() {
    for variables in [&[][..], &[RESPAWN]] {
        let (code, starts, program) = run(&["--bad"], variables);
        assert_eq!((code, starts), (2, 1), "{:#?}", program.output());
        assert_eq!(count(&program, "unexpected argument"), 1);
    }
}

#[test]
fn without_respawn_a_failed_start_is_the_end() {
    let (code, starts, program) = run(&["err"], &[]);
    assert_eq!((code, starts), (1, 1), "{:#?}", program.output());
    let (code, starts, program) = run(&["early", "9"], &[]);
    assert_eq!((code, starts), (9, 1), "{:#?}", program.output());
}

/// Lets the workers of `ends codes` end one after the other, by a connection to each.
fn end_each(codes: &[&str], variables: &[(&str, &str)]) -> Running {
    let workers = codes.len().to_string();
    let mut variables = variables.to_vec();
    variables.push(("CLUSTER_WORKERS", &workers));
    let program = start(&[&["codes"], codes].concat(), &variables);
    let address = program.address();
    program.wait_for_workers(codes.len());
    for ended in 1..=codes.len() {
        // Before all are up, whoever is up first takes it.
        let _stream = TcpStream::connect(address).expect("somebody listens");
        program.lines(") exited: ", ended);
    }
    program
}

#[test]
fn a_cluster_whose_workers_all_finish_ends_with_0() {
    let mut program = end_each(&["0", "0", "0"], &[]);
    assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
}

#[test]
fn a_cluster_whose_workers_end_ends_with_the_last_code_that_was_not_0() {
    let mut program = end_each(&["3", "3"], &[]);
    assert_eq!(program.exit_code(), 3, "{:#?}", program.output());
    let mut program = end_each(&["0", "5"], &[]);
    assert_eq!(program.exit_code(), 5, "{:#?}", program.output());
}

// Its main returns, which drops the listener, just before the process ends.
#[test]
fn the_only_worker_that_finishes_leaves_the_socket_to_the_next() {
    let variables = [RESPAWN, ("CLUSTER_WORKERS", "1")];
    let program = start(&["codes", "0"], &variables);
    let address = program.address();
    for ended in 1..=3 {
        let _stream = TcpStream::connect(address).expect("somebody listens");
        program.lines(") exited: ", ended);
    }
    program.stop();
}

#[test]
fn on_failure_replaces_a_crash_and_not_a_finish() {
    let program = end_each(&["0", "4"], &[("CLUSTER_RESPAWN", "on-failure")]);
    program.line("exited: code 4; respawning");
    let finished = program.line("exited: code 0");
    assert!(finished.ends_with("exited: code 0"), "{finished}");
    program.wait_for_workers(1);
    program.stop();
}

#[test]
fn a_worker_that_is_never_ready_is_killed_at_the_start_timeout() {
    let variables = [RESPAWN, ("CLUSTER_START_TIMEOUT", "300ms"), ("CLUSTER_GIVE_UP", "2")];
    let (code, starts, program) = run(&["mute"], &variables);
    assert_eq!(code, 70, "{:#?}", program.output());
    assert!(starts >= 2, "{:#?}", program.output());
    program.line("not ready 300ms after its spawn (start_timeout)");
    program.line("failed to start (SIGKILL)");
}

/// Stops a cluster that is not serving yet, twice; it ends within `grace` and leaves nobody.
fn stops_early(arguments: &[&str], variables: &[(&str, &str)], seen: &str) {
    let more = [("CLUSTER_GRACE", "2s"), ("CLUSTER_RESPAWN", "always")];
    let mut program = start(arguments, &[variables, &more].concat());
    program.line(seen);
    program.signal(Signal::TERM);
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
}

#[test]
fn a_stop_during_the_backoff_ends_it() {
    stops_early(&["err"], &[("CLUSTER_BACKOFF", "20s..30s")], "respawning in 1000 ms");
}

#[test]
fn a_stop_during_the_start_ends_it() {
    stops_early(&["mute"], &[], "begun");
}

// Tokio's runtime waits for such a task without end, and so would its worker's slot.
#[test]
fn a_worker_that_a_blocking_task_keeps_from_its_end_is_killed_after_grace_and_replaced() {
    let variables = [RESPAWN, ("CLUSTER_WORKERS", "1"), ("CLUSTER_GRACE", "1s")];
    let program = start(&["lingers"], &variables);
    let first = program.worker(0).pid;
    drop(TcpStream::connect(program.address()).expect("somebody listens"));
    program.line("is killed: its main ended 1s ago, its process did not (grace)");
    assert!(program.line(") exited: ").ends_with("respawning in 0 ms"));
    eventually("another worker", || Some(()).filter(|()| program.worker(0).pid != first));
    program.stop();
}
