//! What a process of the cluster knows of itself, readiness by hand, and a worker's own end.

use cluster_tests::{
    Running, Signal,
    client::{Outcome, get},
    eventually, fixture, send_signal,
};

#[test]
fn each_process_knows_what_it_is() {
    let program = Running::start(fixture!("roles"), &[], &[]);
    program.line("worker: is_master false, is_worker true, try_worker true");
    program.line("master: is_master true, is_worker false, try_worker false");
    program.line("bind in the master: TcpListener::bind: this process is no worker");
    program.line("worker 1 of slot 0, generation 1");
    program.line("init: is_master false, is_worker true, try_worker true");
    program.line("init: is_master true, is_worker false, try_worker false");
    program.stop();
}

#[test]
fn without_workers_the_process_is_the_worker_of_slot_0() {
    let program = Running::start(fixture!("roles"), &[], &[("CLUSTER_WORKERS", "0")]);
    program.line("init: is_master false, is_worker true, try_worker true");
    program.line("worker: is_master false, is_worker true, try_worker true");
    program.line("worker 1 of slot 0, generation 1");
    let started = || program.processes().pop().filter(|p| p.status("SigCgt").is_some());
    eventually("one process", started);
    assert_eq!(program.processes().len(), 1);
    drop(program);
}

#[test]
fn a_worker_is_ready_when_it_says_so() {
    let program = Running::start(fixture!("roles"), &[], &[]);
    program.line("event: slot 0 listens on");
    let worker = program.worker(0);
    assert!(!program.output().iter().any(|line| line.contains("event: slot 0 ready")));
    send_signal(worker.pid, Signal::USR1);
    program.line("event: slot 0 ready");
    program.stop();
}

#[test]
fn a_worker_can_ask_for_its_own_end() {
    let program = Running::start(fixture!("roles"), &[], &[]);
    program.line("event: slot 0 listens on");
    let worker = program.worker(0);
    send_signal(worker.pid, Signal::USR1);
    let line = program.line("serving ");
    let address = line.trim_start_matches("serving ").parse().expect("an address");
    assert_eq!(get(address, "/stop"), Outcome::Answered("stopping".to_owned()));
    program.line(&format!("pid {}) exited: stopped", worker.pid));
    program.line("worker 2 of slot 0, generation 1");
    program.stop();
}

#[test]
fn the_flavor_is_what_the_environment_says() {
    let said = |variables: &[(&str, &str)], text: &str| {
        let program = Running::start(fixture!("roles"), &[], variables);
        program.line(text);
        program.stop();
    };
    said(&[], "generation 1: CurrentThread, 1 threads");
    said(&[("CLUSTER_FLAVOR", "local")], "1 threads, spawn_local true");
    let threads = [("CLUSTER_FLAVOR", "multi_thread"), ("CLUSTER_WORKER_THREADS", "3")];
    said(&threads, "generation 1: MultiThread, 3 threads");
}
