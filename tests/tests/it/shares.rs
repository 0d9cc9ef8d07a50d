//! Keys of several services: each is split over its own workers alone, and does not notice what others do.

use std::collections::{BTreeMap, BTreeSet};

use cluster_tests::{Running, Signal, eventually_is, fixture, send_signal};

/// What a worker says of its share.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Share {
    index: usize,
    count: usize,
    changes: usize,
    keys: BTreeSet<u32>,
}

/// By slot.
type Shares = BTreeMap<usize, Share>;

fn shares(program: &Running, service: &str) -> Shares {
    let answer = program.order(&format!("shares {service}"));
    let answer = answer.strip_prefix("ok ").unwrap_or_else(|| panic!("{answer}"));
    let share = |text: &str| {
        let words: Vec<&str> = text.splitn(4, ' ').collect();
        let (index, count) = words[1].split_once('/').expect("a share");
        let number = |text: &str| text.parse::<usize>().expect("a number");
        let keys = words[3].split(',').map(|key| key.parse().expect("a key")).collect();
        let (index, count, changes) = (number(index), number(count), number(words[2]));
        (number(words[0]), Share { index, count, changes, keys })
    };
    answer.split(';').map(share).collect()
}

fn places(shares: &Shares) -> Vec<(usize, usize, usize)> {
    shares.iter().map(|(&slot, share)| (slot, share.index, share.count)).collect()
}

fn all_keys(shares: &Shares) -> Vec<u32> {
    let mut keys: Vec<u32> = shares.values().flat_map(|share| share.keys.clone()).collect();
    keys.sort_unstable();
    keys
}

fn scale(program: &Running, order: &str) {
    let answer = program.order(&format!("scale {order}"));
    assert!(answer.starts_with("ok "), "{answer}");
}

#[test]
fn each_service_has_shares_of_its_own_and_does_not_notice_the_others() {
    let program = Running::start(fixture!("shares"), &[], &[]);
    program.lines(") ready", 4);
    let (web, jobs) = (shares(&program, "web"), shares(&program, "jobs"));
    assert_eq!(places(&web), [(0, 0, 2), (1, 1, 2)]);
    assert_eq!(places(&jobs), [(2, 0, 2), (3, 1, 2)]);
    for service in [&web, &jobs] {
        assert_eq!(all_keys(service), (0..100).collect::<Vec<_>>(), "each key has one owner");
    }
    // Whoever asks the other service for a key finds its owner.
    for key in 0..20 {
        let (&slot, _) = jobs.iter().find(|(_, share)| share.keys.contains(&key)).expect("one");
        assert_eq!(program.order(&format!("ask web jobs {key}")), format!("ok {slot}"));
        let (&slot, _) = web.iter().find(|(_, share)| share.keys.contains(&key)).expect("one");
        assert_eq!(program.order(&format!("ask jobs web {key}")), format!("ok {slot}"));
        assert_eq!(program.order(&format!("address {key}")), format!("ok slot {slot}"));
    }
    let nobody = program.order("ask web nobody 1");
    assert!(nobody.contains("there is no such service"), "{nobody}");

    // The number that `web` frees becomes one of `jobs`.
    scale(&program, "web 1");
    program.line("keys of service web are split over 1 slots instead of 2");
    scale(&program, "jobs 3");
    program.line("keys of service jobs are split over 3 slots instead of 2");
    let more = shares(&program, "jobs");
    assert_eq!(places(&more), [(1, 2, 3), (2, 0, 3), (3, 1, 3)]);
    assert_eq!(all_keys(&more), (0..100).collect::<Vec<_>>());
    for slot in [2, 3] {
        assert!(more[&slot].keys.is_subset(&jobs[&slot].keys), "keys move to the new slot alone");
        assert_eq!(more[&slot].changes, 1, "of the own service");
    }
    assert_eq!(places(&shares(&program, "web")), [(0, 0, 1)]);
    assert_eq!(shares(&program, "web")[&0].changes, 1);

    // A respawn moves nothing, and who came last goes first.
    send_signal(program.worker(2).pid, Signal::KILL);
    program.lines(") ready", 6);
    assert_eq!(shares(&program, "jobs")[&2].keys, more[&2].keys);
    scale(&program, "jobs 2");
    let keys = |shares: &Shares| -> Vec<_> {
        shares.iter().map(|(&slot, share)| (slot, share.index, share.keys.clone())).collect()
    };
    eventually_is(&keys(&jobs), || keys(&shares(&program, "jobs")));
    program.stop();
}
