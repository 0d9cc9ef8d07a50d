//! Changing the number of workers, by handle and by signal, and replacing one on order.

use std::{collections::BTreeSet, time::Duration};

use cluster_tests::{
    Running, Signal,
    client::{Load, Tally},
    events::assert_in_order,
    eventually, eventually_is, fixture,
    proc::Process,
};

fn slots(program: &Running) -> BTreeSet<String> {
    let slot = |p: Process| p.title.rsplit_once(' ').expect("a title with a slot").1.to_owned();
    program.workers().into_iter().map(slot).collect()
}

fn names(slots: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    slots.into_iter().map(|slot| slot.to_string()).collect()
}

#[test]
fn two_to_eight_to_one_under_load_loses_nothing_and_leaves_nothing() {
    let program = Running::start(fixture!("steered"), &[], &[]);
    let address = program.address();
    program.wait_for_workers(2);
    let load = Load::start(address, "/", 6, Duration::from_micros(500));
    let master = Process::look(program.pid()).expect("it lives");
    eventually("some answers", || (load.so_far().answered > 50).then_some(()));
    assert_eq!(program.order("scale 8"), "ok Scaled { from: 2, to: 8 }");
    assert_eq!(slots(&program), names(0..8));
    let served = load.so_far().answered;
    eventually("answers of eight", || (load.so_far().answered > served + 100).then_some(()));
    assert_eq!(program.order("scale 1"), "ok Scaled { from: 8, to: 1 }");
    assert_eq!(slots(&program), names([0]));
    assert_eq!(program.order("scale 2"), "ok Scaled { from: 1, to: 2 }");
    let tally = load.stop();
    assert_eq!(tally, Tally::of_answers(tally.answered), "{:#?}", program.output());
    assert_eq!(program.exits().1, 0, "{:#?}", program.output());
    // What eight workers needed is given back: as many descriptors as after the same again.
    let count = || {
        let before = master.descriptors().len();
        std::thread::sleep(Duration::from_millis(50));
        (before == master.descriptors().len()).then_some(before)
    };
    let before = eventually("no descriptor that is about to go", count);
    program.order("scale 8");
    program.order("scale 2");
    eventually_is(&before, || master.descriptors().len());
    assert_in_order(&program.output());
    program.stop();
}

#[test]
fn ttin_and_ttou_change_the_number_by_one_and_never_to_none() {
    let program = Running::start(fixture!("steered"), &[], &[]);
    program.wait_for_workers(2);
    program.signal(Signal::TTIN);
    eventually_is(&names(0..3), || slots(&program));
    program.signal(Signal::TTOU);
    eventually_is(&names(0..2), || slots(&program));
    program.signal(Signal::TTOU);
    eventually_is(&names(0..1), || slots(&program));
    program.signal(Signal::TTOU);
    program.line("TTOU: 0 workers: allowed are 1 to 512");
    assert_eq!(slots(&program), names(0..1));
    program.stop();
}

#[test]
fn an_order_that_cannot_be_says_why() {
    let program = Running::start(fixture!("steered"), &[], &[]);
    program.wait_for_workers(2);
    for (order, why) in [
        ("scale 0", "error scale the cluster: 0 workers: allowed are 1 to 512"),
        ("scale 513", "error scale the cluster: 513 workers"),
        ("respawn 2", "error respawn the cluster: there is no such slot: the slots are 0 to 1"),
    ] {
        let outcome = program.order(order);
        assert!(outcome.starts_with(why), "{outcome}");
    }
    program.stop();
}

#[test]
fn a_replacement_on_order_loses_nothing() {
    let program = Running::start(fixture!("steered"), &[], &[]);
    let address = program.address();
    program.wait_for_workers(2);
    let load = Load::start(address, "/slow", 8, Duration::from_millis(1));
    let before = program.worker(1).pid;
    assert!(program.order("respawn 1").starts_with("ok Replaced { slot: 1, before: Some("));
    eventually("another worker in slot 1", || (program.worker(1).pid != before).then_some(()));
    program.wait_for_workers(2);
    let tally = load.stop();
    assert_eq!(tally, Tally::of_answers(tally.answered));
    assert_eq!(program.exits().1, 0);
    program.stop();
}

// The master's branch blocks its only thread; dispatch and respawn take no notice.
#[test]
fn a_branch_that_blocks_stalls_nothing() {
    let program = Running::start(fixture!("steered"), &[], &[]);
    let address = program.address();
    program.wait_for_workers(2);
    let load = Load::start(address, "/", 4, Duration::from_millis(1));
    let blocking = program.begin_order("block 3000");
    for _ in 0..5 {
        let before = program.worker(0).pid;
        cluster_tests::send_signal(before, Signal::KILL);
        eventually("a respawn", || (program.worker(0).pid != before).then_some(()));
    }
    let answered = load.so_far().answered;
    eventually("more answers", || (load.so_far().answered > answered + 100).then_some(()));
    assert_eq!(blocking.outcome(), "ok blocked");
    let tally = load.stop();
    assert_eq!((tally.refused, tally.hung), (0, 0), "{tally:?}");
    program.stop();
}
