//! What comes into a worker from outside, and what goes from it to programs that it starts: signals,
//! masks, children.

use std::process::Command;

use cluster_tests::{
    Running, Signal,
    client::{Outcome, get},
    eventually, fixture, proc,
    proc::{Process, SAY_INHERITANCE},
    send_signal,
};

const NO_SIGNAL: &str = "0000000000000000";

/// The bit of a signal in the sets of `/proc/PID/status`.
fn is_in(process: &Process, field: &str, signal: Signal) -> bool {
    let set = process.status(field).expect("the process lives");
    let set = u64::from_str_radix(&set, 16).expect("a set of signals");
    set & (1 << (signal.as_raw() - 1)) != 0
}

/// Starts the program by `env` of the coreutils, which sets up signals.
fn start_by_env(setup: &str) -> Running {
    let mut command = Command::new("env");
    command.args([setup, fixture!("serve")]);
    let program = Running::start_command(command);
    program.address();
    program.wait_for_workers(2);
    program
}

fn replace(program: &Running, slot: usize) -> Process {
    let old = program.worker(slot).pid;
    send_signal(old, Signal::KILL);
    eventually("another worker", || Some(program.worker(slot)).filter(|p| p.pid != old))
}

/// Descriptors and signal sets, as a shell said them by `SAY_INHERITANCE`.
fn born_with(said: &str) -> Vec<&str> {
    let wanted = |line: &&str| line.parse::<i32>().is_ok() || line.starts_with("Sig");
    said.lines().filter(wanted).collect()
}

/// Normal is what the same program gets when this process starts it.
fn started_program_is_normal(path: &str) {
    let here = Command::new("sh").args(["-c", SAY_INHERITANCE]).output().expect("a shell");
    let here = String::from_utf8_lossy(&here.stdout);
    let program = Running::start(fixture!("children"), &[], &[]);
    let Outcome::Answered(said) = get(program.address(), path) else { panic!("no answer") };
    assert_eq!(born_with(&said), born_with(&here), "{said}");
    assert!(!said.contains("CLUSTER_HANDOVER"), "{said}");
    assert!(said.ends_with("exit status: 0"), "{said}");
    program.stop();
}

#[test]
fn a_program_started_by_std_in_a_worker_is_normal() {
    started_program_is_normal("/std");
}

#[test]
fn a_program_started_by_tokio_in_a_worker_is_normal() {
    started_program_is_normal("/tokio");
}

#[test]
fn tokio_brings_a_worker_its_signals() {
    let program = Running::start(fixture!("children"), &[], &[]);
    program.address();
    let worker = program.worker(0);
    send_signal(worker.pid, Signal::USR1);
    program.line("got USR1");
    assert_eq!(program.worker(0).pid, worker.pid);
    // TERM also drains the worker, as without a handler.
    send_signal(worker.pid, Signal::TERM);
    program.line("got TERM");
    program.line("exited: stopped");
    eventually("another worker", || Some(()).filter(|()| program.worker(0).pid != worker.pid));
    program.stop();
}

#[test]
fn a_worker_blocks_no_signal() {
    let program = Running::start(fixture!("serve"), &[], &[]);
    program.address();
    replace(&program, 1);
    for worker in [program.worker(0), program.worker(1)] {
        // A replacement blocks every signal until it has handlers.
        eventually("an empty mask", || (worker.status("SigBlk")? == NO_SIGNAL).then_some(()));
    }
    program.stop();
}

#[test]
fn a_worker_has_the_mask_of_the_programs_start() {
    let program = start_by_env("--block-signal=USR2");
    replace(&program, 0);
    for worker in [program.worker(0), program.worker(1)] {
        let blocked = || worker.status("SigBlk").filter(|set| set == "0000000000000800");
        eventually("the mask of the start", blocked);
    }
    let zygote = program.zygote().expect("a zygote");
    assert_eq!(zygote.status("SigBlk").as_deref(), Some("0000000000000800"));
    program.stop();
}

#[test]
fn a_signal_ignored_at_the_start_stays_ignored() {
    let program = start_by_env("--ignore-signal=HUP");
    replace(&program, 0);
    for process in program.processes() {
        assert!(is_in(&process, "SigIgn", Signal::HUP), "{}", process.title);
    }
    program.signal_all(Signal::HUP);
    program.wait_for_workers(2);
    program.stop();
}

#[test]
fn a_signal_that_is_not_ignored_at_the_start_is_not_ignored_later() {
    let program = start_by_env("--default-signal");
    for process in program.processes() {
        for signal in [Signal::HUP, Signal::INT, Signal::TERM, Signal::CHILD, Signal::USR1] {
            assert!(!is_in(&process, "SigIgn", signal), "{}: {signal:?}", process.title);
        }
    }
    program.stop();
}

#[test]
fn a_thread_started_before_the_cluster_is_named_and_refused() {
    let mut program = Running::start(fixture!("before_run"), &["thread"], &[]);
    program.line(
        "start: threads run before the cluster starts, and would not exist in workers: early;",
    );
    assert_eq!(program.exit_code(), 78, "{:#?}", program.output());
}

#[test]
fn where_a_cluster_cannot_start_is_told_once_with_what_helps() {
    let alone = ("CLUSTER_WORKERS", "0");
    let inside = "start: run was called inside a tokio runtime";
    let elsewhere = "start: run was called on another thread than the first";
    for (place, variables, text) in
        [("inside", &[][..], inside), ("inside", &[alone], inside), ("elsewhere", &[], elsewhere)]
    {
        let mut program = Running::start(fixture!("before_run"), &[place], variables);
        assert_eq!(program.exit_code(), 78, "{place}: {:#?}", program.output());
        program.wait_for_output();
        let output = program.output();
        assert!(output.len() == 1 && output[0].contains(text), "{place}: {output:#?}");
    }
}

#[test]
fn where_it_can_it_does() {
    for (place, variables) in [("elsewhere", &[("CLUSTER_WORKERS", "0")][..]), ("joined", &[])] {
        let program = Running::start(fixture!("before_run"), &[place], variables);
        program.line("begun");
        program.stop();
    }
}

#[test]
fn a_zygote_that_says_nothing_is_given_up() {
    let variables = [("CLUSTER_GIVE_UP", "1")];
    let mut program = Running::start(fixture!("before_run"), &["sleep"], &variables);
    program.line("the zygote did not answer");
    assert_eq!(program.exit_code(), 70, "{:#?}", program.output());
}

/// The fixture waits for its child only after the cluster has reaped an orphan that ended later.
#[test]
fn the_masters_own_children_are_left_to_it_and_orphans_are_reaped() {
    let program = Running::start(fixture!("master_children"), &[], &[]);
    program.line("tokio's child: Some(8)");
    let line = program.line("orphan ");
    let orphan: i32 = line.trim_start_matches("orphan ").parse().expect("a pid");
    program.line("orphan reaped");
    program.line("child: Some(7)");
    let children = proc::children_of(program.pid());
    assert!(children.iter().all(|p| p.state != 'Z' && p.pid != orphan), "{children:?}");
    program.stop();
}
