//! The statistics: what they say, and that they only grow.

use cluster_tests::{
    Running, Signal,
    client::{Outcome, get},
    eventually, fixture, send_signal,
};

/// The number before `word` in the line of a slot.
fn number(stats: &str, slot: usize, word: &str) -> u64 {
    let line = stats.lines().find(|line| line.trim_start().starts_with(&format!("slot {slot}: ")));
    let line = line.unwrap_or_else(|| panic!("slot {slot} in {stats}"));
    let words: Vec<&str> = line.split([' ', ',', ';']).filter(|word| !word.is_empty()).collect();
    let at =
        words.iter().position(|other| *other == word).unwrap_or_else(|| panic!("{word}: {line}"));
    words[at - 1].parse().unwrap_or_else(|_| panic!("{word}: {line}"))
}

#[test]
fn they_count_connections_over_respawns_and_only_grow() {
    let program = Running::start(fixture!("steered"), &[], &[("CLUSTER_HANG_TIMEOUT", "1s")]);
    let address = program.address();
    program.wait_for_workers(2);
    for _ in 0..10 {
        assert!(matches!(get(address, "/"), Outcome::Answered(_)));
    }
    eventually("ten served", || {
        let stats = program.order("stats");
        (number(&stats, 0, "served") + number(&stats, 1, "served") == 10).then_some(())
    });
    let killed = program.worker(1).pid;
    send_signal(killed, Signal::KILL);
    eventually("a respawn", || (program.worker(1).pid != killed).then_some(()));
    for _ in 0..10 {
        assert!(matches!(get(address, "/"), Outcome::Answered(_)));
    }
    let stats = eventually("twenty served", || {
        let stats = program.order("stats");
        let served = number(&stats, 0, "served") + number(&stats, 1, "served");
        assert!(served <= 20, "{stats}");
        // Which is looked for at intervals.
        let beating = stats.lines().filter(|line| line.contains("heartbeat ")).count() == 2;
        (served == 20 && beating).then_some(stats)
    });
    assert_eq!((number(&stats, 0, "respawns"), number(&stats, 1, "respawns")), (0, 1), "{stats}");
    // Those of the dead worker too; how many each slot got depends on how long the respawn took.
    assert_eq!(number(&stats, 0, "received") + number(&stats, 1, "received"), 20, "{stats}");
    for part in ["ready", "Signaled { signal: 9", "rss ", "pss ", "0 waiting"] {
        assert!(stats.contains(part), "{part}: {stats}");
    }
    program.stop();
}

#[test]
fn usr1_prints_them_whatever_the_log_level() {
    let program = Running::start(fixture!("steered"), &[], &[("CLUSTER_LOG", "off")]);
    program.line("orders to ");
    program.wait_for_workers(2);
    program.signal(Signal::USR1);
    program.line("generation 1, 2 slots, 0 departed");
    program.line("slot 1: worker ");
    program.stop();
}
