//! What the environment says: bad values, unknown names, no workers at all.

use std::net::SocketAddr;

use cluster_tests::{
    Running, Signal,
    client::{Outcome, get},
    fixture,
};

#[test]
fn bad_values_are_told_all_at_once_with_what_is_allowed() {
    let bad = [
        ("CLUSTER_WORKERS", "many", "a whole number from 0"),
        ("CLUSTER_RESPAWN", "yes", "always, on-failure or never"),
        ("CLUSTER_BACKOFF", "3s..1s", "two durations such as 100ms..30s"),
        ("CLUSTER_GIVE_UP", "0", "a whole number, 1 or more"),
        ("CLUSTER_GRACE", "soon", "a duration such as"),
        ("CLUSTER_STOP_DELAY", "-1s", "a duration such as"),
        ("CLUSTER_START_TIMEOUT", "0", "a duration above zero"),
        ("CLUSTER_HANG_TIMEOUT", "50ms", "a duration of at least 100ms"),
        ("CLUSTER_RECYCLE_CONNECTIONS", "0", "a whole number, 1 or more, or off"),
        ("CLUSTER_RECYCLE_AGE", "never", "a duration above zero"),
        ("CLUSTER_RECYCLE_RSS", "512", "a number of bytes with its unit"),
        ("CLUSTER_RECYCLE_JITTER", "2", "a number from 0.0 to 1.0"),
        ("CLUSTER_SURPLUS", "0", "a whole number from 1 to 512"),
        ("CLUSTER_FLAVOR", "vanilla", "current_thread, local or multi_thread"),
        ("CLUSTER_PIN", "yes", "on or off"),
        ("CLUSTER_LOG", "loud", "off, warn or info"),
    ];
    let variables: Vec<(&str, &str)> = bad.iter().map(|&(name, value, _)| (name, value)).collect();
    let mut program = Running::start(fixture!("serve"), &[], &variables);
    assert_eq!(program.exit_code(), 78);
    program.wait_for_output();
    for (name, value, allowed) in bad {
        let line = program.line(&format!("{name}=\"{value}\""));
        assert!(line.contains(&format!("allowed: {allowed}")), "{line}");
    }
    assert_eq!(program.output().len(), bad.len(), "{:#?}", program.output());
}

#[test]
fn a_user_that_nobody_is_stops_the_start() {
    let variables = [("CLUSTER_USER", "no such user")];
    let mut program = Running::start(fixture!("serve"), &[], &variables);
    program.line("user = \"no such user\": no such user (see /etc/passwd)");
    assert_eq!(program.exit_code(), 78);
}

#[test]
fn with_no_workers_a_user_is_a_warning() {
    let variables = [("CLUSTER_WORKERS", "0"), ("CLUSTER_USER", "no such user")];
    let mut program = Running::start(fixture!("ends"), &["--help"], &variables);
    program.line("user and group have no effect with workers = 0");
    assert_eq!(program.exit_code(), 0);
}

#[test]
fn an_unknown_name_is_a_warning() {
    let program = Running::start(fixture!("serve"), &[], &[("CLUSTER_WROKERS", "2")]);
    program.address();
    program.line("CLUSTER_WROKERS");
    program.stop();
}

/// Starts a server that is one process.
fn start_alone() -> (Running, SocketAddr) {
    let program = Running::start(fixture!("ends"), &[], &[("CLUSTER_WORKERS", "0")]);
    let line = program.line("worker 0 serves ");
    let address = line.trim_start_matches("worker 0 serves ").parse().expect("an address");
    (program, address)
}

#[test]
fn with_no_workers_one_process_serves() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut program, address) = start_alone();
        assert_eq!(get(address, "/"), Outcome::Answered("0".to_owned()));
        assert_eq!(program.processes().len(), 1);
        program.signal(signal);
        assert_eq!(program.exit_code(), 0);
    }
}

#[test]
fn with_no_workers_codes_are_those_of_main() {
    for (arguments, code) in [
        (&["err"][..], 1),
        (&["panic"], 101),
        (&["--bad"], 2),
        (&["--help"], 0),
        (&["early", "9"], 9),
    ] {
        let variables = [("CLUSTER_WORKERS", "0"), ("CLUSTER_RESPAWN", "always")];
        let mut program = Running::start(fixture!("ends"), arguments, &variables);
        assert_eq!(program.exit_code(), code, "{arguments:?}");
        program.wait_for_output();
        let begun = program.output().iter().filter(|line| line.contains("begun")).count();
        assert_eq!(begun, 1, "{arguments:?}");
    }
}
