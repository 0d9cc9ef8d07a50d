//! From the start to the first answers.

use cluster_tests::{
    Running,
    client::{Outcome, get},
    eventually, fixture, proc,
};

#[test]
fn master_zygote_and_workers_show_by_title() {
    let program = Running::start(fixture!("serve"), &[], &[("CLUSTER_WORKERS", "3")]);
    program.address();
    program.wait_for_workers(3);
    let titles: Vec<String> = program.processes().into_iter().map(|p| p.title).collect();
    let expected = [
        "serve: master",
        "serve: worker 0",
        "serve: worker 1",
        "serve: worker 2",
        "serve: zygote 1",
    ];
    let mut sorted = titles.clone();
    sorted.sort();
    assert_eq!(sorted, expected);
    // The kernel agrees about whose children they are.
    assert_eq!(proc::children_of(program.pid()).len(), 4);
    program.stop();
}

#[test]
fn connections_go_round_exactly() {
    let program = Running::start(fixture!("serve"), &[], &[("CLUSTER_WORKERS", "4")]);
    let address = program.address();
    let slot = || {
        let Outcome::Answered(body) = get(address, "/") else { panic!("no answer") };
        body.trim_start_matches("worker ").parse::<usize>().expect("a slot")
    };
    // A worker that a loaded machine does not let run for 250 ms is passed over, at the start and
    // later: then the count begins anew.
    eventually("400 connections, 100 by each", || {
        let mut counts = [0; 4];
        (0..400).for_each(|_| counts[slot()] += 1);
        (counts == [100; 4]).then_some(())
    });
    program.stop();
}
