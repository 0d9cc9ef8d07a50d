//! `pin`: each worker on the processor of its slot.

use std::process::Command;

use cluster_tests::{Running, Signal, eventually_is, fixture, proc::Process, send_signal, skip};

/// The processors in a list such as `0-2,5`.
fn processors(list: &str) -> Vec<usize> {
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let parts = list.split(',').map(|part| part.split_once('-').unwrap_or((part, part)));
    parts.flat_map(|(first, last)| number(first)..=number(last)).collect()
}

fn allowed(process: &Process) -> Vec<usize> {
    processors(&process.status("Cpus_allowed_list").expect("it lives"))
}

/// Waits until the worker in `slot` may run on these alone, and looks at its threads.
fn is_on(program: &Running, slot: usize, expected: &[usize]) {
    eventually_is(&expected.to_vec(), || allowed(&program.worker(slot)));
    let pid = program.worker(slot).pid;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).expect("it lives") {
        let path = task.expect("an entry").path().join("status");
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let Some(list) = list else { continue };
        assert_eq!(processors(list.trim()), expected, "slot {slot}");
    }
}

#[test]
fn slots_take_the_processors_in_turn() {
    let all = allowed(&Process::this());
    let slots = all.len() + 1;
    let variables = [("CLUSTER_WORKERS", &*slots.to_string()), ("CLUSTER_PIN", "on")];
    let program = Running::start(fixture!("watched"), &[], &variables);
    program.lines(") ready", slots);
    for slot in 0..slots {
        is_on(&program, slot, &[all[slot % all.len()]]);
    }
    // Whoever takes the slot takes its processor, and nobody else is bound.
    send_signal(program.worker(1).pid, Signal::KILL);
    program.lines(") ready", slots + 1);
    is_on(&program, 1, &[all[1 % all.len()]]);
    assert_eq!(allowed(&program.zygote().expect("a zygote")), all);
    assert_eq!(allowed(&Process::look(program.pid()).expect("it lives")), all);
    program.stop();
}

#[test]
fn only_processors_that_the_master_may_use_are_taken() {
    let all = allowed(&Process::this());
    let Some(last) = all.get(1..).and_then(|rest| rest.last()) else {
        return skip("with one processor there is none to leave out");
    };
    let mut command = Command::new("taskset");
    command.args(["-c", &last.to_string(), fixture!("watched")]);
    command.envs([("CLUSTER_WORKERS", "2"), ("CLUSTER_PIN", "on")]);
    let program = Running::start_command(command);
    program.lines(") ready", 2);
    for slot in 0..2 {
        is_on(&program, slot, &[*last]);
    }
    program.stop();
}

#[test]
fn the_variable_takes_it_away() {
    let all = allowed(&Process::this());
    for (variables, expected) in [(&[][..], &all[..1]), (&[("CLUSTER_PIN", "off")], &all)] {
        let program = Running::start(fixture!("pinned"), &[], variables);
        program.line("worker 0 runs");
        is_on(&program, 0, expected);
        program.stop();
    }
}
