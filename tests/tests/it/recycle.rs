//! Recycling: workers past a limit are replaced, one at a time, and nobody notices.

use std::time::Duration;

use cluster_tests::{
    Running,
    client::{Load, Outcome, Tally, get},
    eventually, fixture,
};

#[test]
fn by_connections_under_load_nothing_is_lost() {
    let variables =
        [("CLUSTER_RECYCLE_CONNECTIONS", "100"), ("CLUSTER_WORKERS", "3"), ("CLUSTER_GRACE", "5s")];
    let program = Running::start(fixture!("steered"), &[], &variables);
    let address = program.address();
    program.wait_for_workers(3);
    let load = Load::start(address, "/", 6, Duration::from_millis(1));
    let most = eventually("ten recycled workers", || {
        let recycled = program.output().iter().filter(|l| l.contains("exited: recycled")).count();
        // One above the number at any time, and for a moment the dead one that is not reaped.
        assert!(program.workers().len() <= 5, "{:#?}", program.workers());
        (recycled >= 10).then_some(recycled)
    });
    let tally = load.stop();
    println!("{most} recycled, {tally:?}");
    assert_eq!(tally, Tally::of_answers(tally.answered), "{:#?}", program.output());
    assert_eq!(program.exits().1, 0);
    program.stop();
}

#[test]
fn by_its_own_wish_a_worker_is_replaced_ready_first() {
    let program = Running::start(fixture!("steered"), &[], &[("CLUSTER_WORKERS", "1")]);
    let address = program.address();
    let Outcome::Answered(first) = get(address, "/replace") else { panic!("no answer") };
    let load = Load::start(address, "/", 2, Duration::from_millis(1));
    let other = eventually("another worker", || match get(address, "/pid") {
        Outcome::Answered(pid) => Some(pid).filter(|pid| *pid != first),
        other => panic!("{other:?}: one serves at any time"),
    });
    program.line("exited: recycled");
    let tally = load.stop();
    assert_eq!(tally, Tally::of_answers(tally.answered), "{:#?}", program.output());
    assert_eq!(get(address, "/pid"), Outcome::Answered(other), "it is asked once");
    program.stop();
}

#[test]
fn by_age_every_worker_has_its_turn() {
    let program = Running::start(fixture!("steered"), &[], &[("CLUSTER_RECYCLE_AGE", "1s")]);
    program.wait_for_workers(2);
    let before: Vec<i32> = (0..2).map(|slot| program.worker(slot).pid).collect();
    for (slot, pid) in before.iter().enumerate() {
        eventually("another worker", || (program.worker(slot).pid != *pid).then_some(()));
    }
    assert!(matches!(get(program.address(), "/"), Outcome::Answered(_)));
    program.stop();
}

#[test]
fn by_memory_the_hoarder_is_replaced_and_the_other_is_not() {
    let variables = [("CLUSTER_RECYCLE_RSS", "96MiB"), ("CLUSTER_RECYCLE_JITTER", "0")];
    let program = Running::start(fixture!("steered"), &[], &variables);
    program.wait_for_workers(2);
    let before: Vec<i32> = (0..2).map(|slot| program.worker(slot).pid).collect();
    // The first connection goes to slot 0.
    assert!(matches!(get(program.address(), "/hoard/128"), Outcome::Answered(_)));
    let line = program.line("exited: recycled");
    assert!(line.contains("slot 0 "), "{line}");
    assert_eq!(program.worker(1).pid, before[1]);
    eventually("another worker", || (program.worker(0).pid != before[0]).then_some(()));
    program.stop();
}
