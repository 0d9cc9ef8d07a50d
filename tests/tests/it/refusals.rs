//! A system that refuses what the cluster would have: signals, processes, files. It goes without, or
//! waits, or says what is missing; and it can be stopped.

use std::process::Command;

use cluster_tests::{Running, Signal, eventually, fixture, send_signal};

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
