//! What is preloaded: that workers share it, that it is made once, and what becomes of one that fails.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use cluster_tests::{
    Running, Signal, deploy::Deployed, eventually, fixture, monotonic_ms, send_signal,
};

use super::kill::recoveries;

fn start(behaviour: &str, variables: &[(&str, &str)]) -> Running {
    Running::start(fixture!("preloads"), &[behaviour], variables)
}

/// What a worker says it has, up to what differs from worker to worker.
fn shared(line: &str) -> &str {
    let (_, has) = line.split_once(" has ").expect("a worker's line");
    has.split_once(", hash ").expect("a hash at the end").0
}

fn count(program: &Running, text: &str) -> usize {
    program.output().iter().filter(|line| line.contains(text)).count()
}

#[test]
fn workers_and_those_that_replace_them_have_the_same_and_it_was_made_once() {
    let program = start("serve", &[("CLUSTER_WORKERS", "3")]);
    program.lines(" has ", 3);
    for slot in [0, 2] {
        send_signal(program.worker(slot).pid, Signal::KILL);
    }
    let lines = program.lines(" has ", 5);
    let what: BTreeSet<&str> = lines.iter().map(|line| shared(line)).collect();
    assert_eq!(what.len(), 1, "{lines:#?}");
    let zygote = program.zygote().expect("a zygote").pid;
    let what = what.first().expect("one");
    assert!(what.starts_with(&format!("one of {zygote}, 1048576 bytes at 0x")), "{what}");
    assert!(what.ends_with("file Linux"), "{what}");
    assert_eq!(count(&program, "preloaded "), 1);
    program.stop();
}

#[test]
fn hash_keys_drawn_in_the_preload_are_no_workers() {
    let program = start("serve", &[("CLUSTER_WORKERS", "3")]);
    let lines = program.lines(" has ", 3);
    let hash = |line: &String| line.rsplit_once(' ').expect("a hash").1.to_owned();
    let hashes: BTreeSet<String> = lines.iter().map(hash).collect();
    assert_eq!(hashes.len(), 3, "{lines:#?}");
    program.stop();
}

#[test]
fn a_reload_makes_the_new_one_once() {
    let deployed = Deployed::new(fixture!("preloads"), "one", "serve");
    let program = deployed.start(&[]);
    program.lines(" has one of ", 2);
    deployed.replace(fixture!("preloads"), "two", "serve");
    program.signal(Signal::HUP);
    program.line("reload to generation 2 finished");
    let lines = program.lines(" has two of ", 2);
    assert_eq!(shared(&lines[0]), shared(&lines[1]));
    assert_eq!((count(&program, "preloaded one"), count(&program, "preloaded two")), (1, 1));
    program.stop();
}

#[test]
fn another_zygote_makes_it_again() {
    let program = start("serve", &[]);
    program.lines(" has ", 2);
    send_signal(program.zygote().expect("a zygote").pid, Signal::KILL);
    program.lines("preloaded one in ", 2);
    send_signal(program.worker(1).pid, Signal::KILL);
    let lines = program.lines(" has ", 3);
    assert_ne!(shared(&lines[0]), shared(&lines[2]));
    program.stop();
}

#[test]
fn without_workers_it_is_made_in_this_process() {
    let mut program = start("serve", &[("CLUSTER_WORKERS", "0")]);
    program.line(&format!("worker 0 has one of {}, ", program.pid()));
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code(), 0);
    let mut program = start("error", &[("CLUSTER_WORKERS", "0")]);
    program.line("cluster: preload: the table is not there");
    assert_eq!(program.exit_code(), 70);
    assert_eq!(count(&program, " has "), 0);
}

/// Behaviours that fail, and what is said then.
const FAILURES: [(&str, &str); 9] = [
    ("error", "preload: the table is not there"),
    ("panic", "preload panicked: the table is empty"),
    ("exit", "code 3"),
    ("abort", "SIGABRT"),
    ("thread", "preload left threads running, which would not exist in workers: ticker; "),
    ("listener", "(TCP, listening on 127.0.0.1:"),
    ("connection", "(TCP, connected to 127.0.0.1:"),
    ("datagrams", "(UDP, 127.0.0.1:"),
    ("pair", "(Unix), descriptor "),
];

#[test]
fn a_start_fails_with_it_at_once_and_says_why() {
    for (behaviour, text) in FAILURES {
        let mut program = start(behaviour, &[]);
        assert_eq!(program.exit_code(), 70, "{behaviour}: {:#?}", program.output());
        program.wait_for_output();
        let line = program.line("cluster: zygote 1 exited: ");
        assert!(line.contains(text), "{behaviour}: {line}");
        assert!(!line.contains("(TCP") || line.contains("left sockets open"), "{line}");
        assert_eq!(count(&program, "preloaded "), 1, "{behaviour}");
    }
}

#[test]
fn a_reload_that_fails_with_it_leaves_the_old_generation_and_says_why() {
    let deployed = Deployed::new(fixture!("preloads"), "one", "serve");
    let program = deployed.start(&[]);
    program.lines(" has one of ", 2);
    let before: BTreeSet<i32> = program.workers().iter().map(|worker| worker.pid).collect();
    for (generation, (behaviour, text)) in (2..).zip(FAILURES) {
        deployed.replace(fixture!("preloads"), "two", behaviour);
        program.signal(Signal::HUP);
        let failed = format!("reload to generation {generation} failed: ");
        for line in program.lines(&failed, 2) {
            assert!(line.contains(text), "{behaviour}: {line}");
        }
    }
    let after: BTreeSet<i32> = program.workers().iter().map(|worker| worker.pid).collect();
    assert_eq!(before, after);
    deployed.replace(fixture!("preloads"), "three", "serve");
    program.signal(Signal::HUP);
    program.lines(" has three of ", 2);
    program.stop();
}

#[test]
fn what_a_failing_newcomer_wrote_is_told_with_the_failure() {
    let deployed = Deployed::new(fixture!("preloads"), "one", "serve");
    let program = deployed.start(&[]);
    program.lines(" has one of ", 2);
    deployed.replace(fixture!("preloads"), "two", "panic");
    program.signal(Signal::HUP);
    // The panic's own report, which says where it was.
    program.line("reload to generation 2 failed: ");
    program.line("preloads.rs:");
    program.stop();
}

#[test]
fn threads_that_end_and_sockets_that_are_closed_are_no_failure() {
    for behaviour in ["thread-that-ends", "socket-that-is-closed"] {
        let program = start(behaviour, &[]);
        program.lines(" has ", 2);
        program.stop();
    }
}

#[test]
fn it_may_take_longer_than_a_hello() {
    let program = start("six-seconds", &[]);
    program.lines(" has ", 2);
    assert_eq!(count(&program, "zygote 1 exited"), 0);
    program.stop();
}

#[test]
fn one_that_takes_too_long_fails_the_start() {
    let mut program = start("for-ever", &[("CLUSTER_START_TIMEOUT", "300ms")]);
    program.line("zygote 1 exited: preload took longer than 300ms (start_timeout)");
    assert_eq!(program.exit_code(), 70);
}

#[test]
fn one_that_takes_too_long_fails_the_reload() {
    let deployed = Deployed::new(fixture!("preloads"), "one", "serve");
    let program = deployed.start(&[("CLUSTER_START_TIMEOUT", "3s")]);
    program.lines(" has one of ", 2);
    deployed.replace(fixture!("preloads"), "two", "for-ever");
    program.signal(Signal::HUP);
    let line = program.line("reload to generation 2 failed: ");
    assert!(line.contains("preload took longer than 3s (start_timeout)"), "{line}");
    assert_eq!(program.workers().len(), 2);
    program.stop();
}

#[test]
fn a_stop_does_not_wait_for_it() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut program = start("for-ever", &[]);
        program.line("preloaded ");
        let begun = Instant::now();
        program.signal(signal);
        assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_stop_during_a_reload_does_not_wait_for_it() {
    let deployed = Deployed::new(fixture!("preloads"), "one", "serve");
    let program = deployed.start(&[]);
    program.lines(" has one of ", 2);
    deployed.replace(fixture!("preloads"), "two", "for-ever");
    program.signal(Signal::HUP);
    program.line("preloaded two");
    // Meanwhile the old generation is looked after.
    send_signal(program.worker(1).pid, Signal::KILL);
    program.lines(" has one of ", 3);
    program.stop();
}

#[test]
fn it_dies_with_the_master() {
    let program = start("for-ever", &[]);
    program.line("preloaded ");
    program.signal(Signal::KILL);
    program.wait_for_nobody();
}

/// The proportional share of a process, in KiB.
fn pss(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it lives");
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).expect("a line for it");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

#[test]
fn eight_workers_share_a_hundred_mebibytes_and_are_replaced_fast() {
    let program = start("100", &[("CLUSTER_WORKERS", "8")]);
    program.lines(") ready", 8);
    let workers: u64 = program.workers().iter().map(|worker| pss(worker.pid)).sum();
    let zygote = pss(program.zygote().expect("a zygote").pid);
    println!("PSS: 8 workers {workers} KiB, zygote {zygote} KiB");
    assert!(workers + zygote < 130 << 10, "{workers} + {zygote} KiB");
    let table = (100 << 10) * 8 / 9;
    assert!(workers > table, "{workers} KiB: less than their share of the table, {table} KiB");

    program.signal(Signal::USR1);
    let line = program.line("8 slots, 0 departed and draining, pss ");
    let told: u64 = line
        .rsplit_once(", pss ")
        .expect("a sum")
        .1
        .split(' ')
        .next()
        .expect("a number")
        .parse()
        .expect("a number");
    assert!(told.abs_diff(workers) < 10 << 10, "{line}, found {workers} KiB");

    let mut kills = Vec::new();
    for round in 0..10 {
        let victim = program.worker(round % 8);
        kills.push((victim.pid, monotonic_ms()));
        send_signal(victim.pid, Signal::KILL);
        program.lines(") ready", 9 + round);
    }
    let times = recoveries(&program, &kills);
    println!("SIGKILL to Ready: median {:.1} ms, longest {:.1} ms", times[5], times[9]);
    assert!(times[5] < 2000.0, "{times:?}");
    eventually("eight workers", || (program.workers().len() == 8).then_some(()));
    program.stop();
}
