//! What a worker writes over the scoreboard hurts nobody: the test writes in its place, by `/proc/PID/mem`.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
};

use cluster_tests::{
    Running, Signal,
    client::{Asked, Tally},
    eventually, fixture,
    proc::Process,
    send_signal,
};

fn started(variables: &[(&str, &str)]) -> Running {
    let program = Running::start(fixture!("serve"), &[], variables);
    program.address();
    program.wait_for_workers(2);
    answers(&program, 20);
    program
}

fn answers(program: &Running, count: usize) {
    let tally = Asked::start(program.address(), "/", count).finish();
    assert_eq!(tally, Tally::of_answers(count as u64), "{:#?}", program.output());
}

/// Puts 0xff everywhere on the scoreboard, as this process maps it.
fn overwrite(process: &Process) {
    let maps = fs::read_to_string(format!("/proc/{}/maps", process.pid)).expect("it lives");
    let line = maps.lines().find(|line| line.contains("/memfd:cluster-scoreboard"));
    let (range, _) = line.expect("a scoreboard").split_once(' ').expect("a range of addresses");
    let (start, end) = range.split_once('-').expect("a range of addresses");
    let address = |text| u64::from_str_radix(text, 16).expect("an address");
    let (start, end) = (address(start), address(end));
    let memory = OpenOptions::new().write(true).open(format!("/proc/{}/mem", process.pid));
    let bytes = vec![0xff; usize::try_from(end - start).expect("a size")];
    memory.expect("this process may trace it").write_all_at(&bytes, start).expect("mapped");
}

fn replaced(program: &Running, slot: usize, old: i32) {
    eventually("another worker", || Some(()).filter(|()| program.worker(slot).pid != old));
}

#[test]
fn wild_values_are_clamped_and_the_cluster_serves_on() {
    let program = started(&[]);
    let (victim, other) = (program.worker(1), program.worker(0));
    overwrite(&victim);
    answers(&program, 200);
    // A connection that it has not seen the end of has made one more of all bits, which is none.
    overwrite(&victim);
    send_signal(victim.pid, Signal::KILL);
    let line = program.line(&format!("pid {}) exited: SIGKILL", victim.pid));
    let (_, lost) = line.split_once("SIGKILL, ").expect("connections were lost, it says");
    let (lost, _) = lost.split_once(' ').expect("a number of connections");
    assert!(lost.parse::<u64>().expect("a number") <= 1_048_576, "{line}");
    replaced(&program, 1, victim.pid);
    answers(&program, 200);
    assert_eq!(program.worker(0).pid, other.pid);
    program.signal(Signal::QUIT);
    program.wait_for_nobody();
}

#[test]
fn wild_values_do_not_keep_the_next_zygote_from_starting() {
    let program = started(&[]);
    let victim = program.worker(1);
    overwrite(&victim);
    let zygote = program.zygote().expect("a zygote").pid;
    send_signal(zygote, Signal::KILL);
    eventually("another zygote", || program.zygote().filter(|p| p.pid != zygote));
    send_signal(victim.pid, Signal::KILL);
    program.line(&format!("pid {}) exited: SIGKILL", victim.pid));
    replaced(&program, 1, victim.pid);
    answers(&program, 200);
    program.signal(Signal::QUIT);
    program.wait_for_nobody();
}

/// The order to drain ends by itself, long before `grace`.
#[test]
fn wild_values_do_not_keep_other_workers_from_draining() {
    let program = started(&[("CLUSTER_GRACE", "1h")]);
    let (victim, other) = (program.worker(1), program.worker(0));
    overwrite(&victim);
    send_signal(other.pid, Signal::TERM);
    program.line(&format!("pid {}) exited: stopped", other.pid));
    replaced(&program, 0, other.pid);
    answers(&program, 20);
    program.signal(Signal::QUIT);
    program.wait_for_nobody();
}
