//! A system that refuses what the cluster would have: signals, processes, files. It goes without, or
//! waits, or says what is missing; and it can be stopped.

use std::process::{Command, Stdio};

use cluster_tests::{
    Running, Signal,
    client::{Outcome, get},
    eventually, fixture, send_signal, skip,
};

fn replace(program: &Running, slot: usize) {
    let old = program.worker(slot).pid;
    send_signal(old, Signal::KILL);
    eventually("another worker", || Some(()).filter(|()| program.worker(slot).pid != old));
}

#[test]
fn started_with_every_signal_blocked_it_takes_orders_and_stops() {
    let mut command = Command::new("env");
    command.args(["--block-signal", fixture!("steered")]);
    let program = Running::start_command(command);
    program.wait_for_workers(2);
    replace(&program, 1);
    program.signal(Signal::HUP);
    program.line("reload to generation 2 finished");
    program.signal(Signal::USR1);
    program.line("generation 2, 2 slots");
    program.stop();
}

/// As where a container's filter of system calls knows pidfd_open(2) and not pidfd_send_signal(2).
#[test]
fn where_a_pidfd_takes_no_signal_workers_and_zygotes_are_killed_all_the_same() {
    let injection = "inject=pidfd_send_signal:error=EPERM";
    // The program keeps its pid, and is the tracer's parent.
    let tracer = ["-D", "-f", "-qq", "-o", "/dev/null", "-e", injection];
    let works = Command::new("strace").args(tracer).arg("true").stderr(Stdio::null()).status();
    if !works.is_ok_and(|status| status.success()) {
        return skip("signals by pidfd are refused: no strace that may trace");
    }
    let mut command = Command::new("strace");
    command.args(tracer).arg(fixture!("serve")).env("CLUSTER_GRACE", "1s");
    let program = Running::start_command(command);
    program.wait_for_workers(2);
    assert!(matches!(get(program.address(), "/"), Outcome::Answered(_)));
    // It is past its grace, and the zygote ends by a signal alone.
    let stopped = program.worker(0).pid;
    send_signal(stopped, Signal::STOP);
    program.stop();
}
