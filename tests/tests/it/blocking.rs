//! Workers whose `main` is not async.

use std::{collections::BTreeSet, time::Duration};

use cluster_tests::{
    Running, Signal,
    client::{Asked, Load, Outcome, Tally, get},
    eventually, fixture, send_signal,
};

fn both_answer(program: &Running) {
    let address = program.address();
    let mut seen = BTreeSet::new();
    eventually("answers of both slots", || {
        let Outcome::Answered(body) = get(address, "/") else { panic!("no answer") };
        seen.insert(body);
        (seen.len() == 2).then_some(())
    });
}

#[test]
fn both_slots_serve_and_are_replaced() {
    for schedule in ["round-robin", "shared", "kernel"] {
        let program = Running::start(fixture!("blocks"), &[], &[("CLUSTER_SCHEDULE", schedule)]);
        both_answer(&program);
        send_signal(program.worker(0).pid, Signal::KILL);
        program.line("SIGKILL");
        both_answer(&program);
        program.stop();
    }
}

/// How often the supervisor's thread of this process has begun to wait.
fn waits_of_control(pid: i32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    let read = |task: &std::path::Path, file| std::fs::read_to_string(task.join(file)).ok();
    let mut tasks = tasks.flatten().map(|task| task.path());
    let control = |task: &std::path::PathBuf| {
        read(task, "comm").is_some_and(|name| name == "cluster-control\n")
    };
    let status = tasks.find(control).and_then(|task| read(&task, "status")).expect("a thread");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).expect("a number")
}

#[test]
fn connections_are_nothing_to_the_supervisors_thread() {
    let program = Running::start(fixture!("blocks"), &[], &[]);
    both_answer(&program);
    let before = waits_of_control(program.pid());
    for _ in 0..500 {
        assert!(matches!(get(program.address(), "/"), Outcome::Answered(_)));
    }
    let waits = waits_of_control(program.pid()) - before;
    assert!(waits < 100, "{waits} for 500 connections");
    program.stop();
}

#[test]
fn a_stop_answers_what_was_asked_and_ends() {
    for arguments in [&[][..], &["ignores"]] {
        let mut program = Running::start(fixture!("blocks"), arguments, &[]);
        let address = program.address();
        program.wait_for_workers(2);
        let asked = Asked::start(address, "/slow", 20);
        program.signal(Signal::TERM);
        assert_eq!(asked.finish(), Tally::of_answers(20), "{:#?}", program.output());
        assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
    }
}

#[test]
fn a_stop_under_load_resets_nobody() {
    let mut program = Running::start(fixture!("blocks"), &[], &[]);
    let load = Load::start(program.address(), "/", 4, Duration::from_millis(1));
    eventually("answers", || (load.so_far().answered > 200).then_some(()));
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code(), 0);
    let tally = load.stop();
    assert_eq!((tally.reset, tally.empty, tally.hung), (0, 0, 0), "{tally:?}");
}

#[test]
fn it_works_in_one_process_and_refuses_to_be_watched() {
    let program = Running::start(fixture!("blocks"), &[], &[("CLUSTER_WORKERS", "0")]);
    drop(program);
    let variables = [("CLUSTER_HANG_TIMEOUT", "1s")];
    let mut program = Running::start(fixture!("blocks"), &[], &variables);
    program.line("hang_timeout: a blocking main has no runtime");
    assert_eq!(program.exit_code(), 78);
}
