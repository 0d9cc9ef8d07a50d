//! What has to be true once faults stop: all is served, the tree of processes is exactly the expected one, the
//! master's descriptors are those of the start, and nothing was lost but what each dead worker had open.

use std::{collections::BTreeMap, net::SocketAddr};

use cluster_tests::{
    Running,
    client::Outcome,
    eventually, eventually_is, foreign,
    proc::{self, Process},
};

use super::{
    load::{Count, address_of, ask},
    losses::{self, Death},
    plan::{MORE_MAX, Plan},
};

/// The master's descriptors by kind, without the streams that it was given.
pub(super) fn descriptors(program: &Running) -> BTreeMap<String, usize> {
    let master = Process::look(program.pid()).expect("the master lives");
    let mut kinds = BTreeMap::new();
    for (number, target) in master.descriptors().into_iter().filter(|(number, _)| *number > 2) {
        // The programs of this generation and of the first, which is deleted once another was deployed.
        let kind = foreign::describe(&master, number, &target);
        *kinds.entry(kind.trim_end_matches(" (deleted)").to_owned()).or_default() += 1;
    }
    kinds
}

/// Waits until the master has the descriptors that it had before. With the kernel's schedule the sockets of
/// slots that are gone stay with their group, for the next worker there; as many as there ever were.
pub(super) fn descriptors_are(program: &Running, before: &BTreeMap<String, usize>, plan: &Plan) {
    const LISTENING: &str = "tcp listening";
    eventually_is(before, || {
        let mut now = descriptors(program);
        let (had, has) = (before[LISTENING], now.entry(LISTENING.to_owned()).or_default());
        if plan.schedule == "kernel" && (had..=had + MORE_MAX as usize).contains(has) {
            *has = had;
        }
        now
    });
}

/// Waits until every slot answers in this version.
pub(super) fn all_slots_serve(address: SocketAddr, slots: u64, version: &str, count: &Count) {
    for slot in 0..slots {
        let expected = Outcome::Answered(format!("{version} {slot}"));
        let mut client = 0;
        eventually(&format!("{expected:?}"), || {
            client += 1;
            (ask(address_of(client), address, count, 64) == expected).then_some(())
        });
    }
}

/// Waits until there are the master, one zygote and one worker in each slot, and no zombie.
pub(super) fn tree_is_whole(program: &Running, slots: u64) {
    let master = program.pid();
    let last_word = |process: &Process| {
        process.title.split_once(": ").map_or(String::new(), |(_, what)| what.to_owned())
    };
    let mut expected: Vec<String> = (0..slots).map(|slot| format!("worker {slot}")).collect();
    expected.push("zygote".to_owned());
    eventually_is(&expected, || {
        // Zombies too, and whoever is of the group without being a child.
        let mut all = proc::children_of(master);
        let strays = program.processes().into_iter().filter(|p| p.parent != master);
        all.extend(strays.filter(|process| process.pid != master));
        let mut found: Vec<String> = all
            .iter()
            .map(|process| match (process.state, last_word(process)) {
                ('Z', _) => format!("zombie {}", process.pid),
                (_, zygote) if zygote.starts_with("zygote ") => "zygote".to_owned(),
                (_, other) => other,
            })
            .collect();
        found.sort();
        found
    });
}

/// Judges what came of all requests and messages, after the end of the cluster.
pub(super) fn nothing_was_lost(program: &Running, count: &Count) {
    program.wait_for_output();
    let (output, tally, ends) = (program.output(), count.so_far(), program.ends());
    let said = |text: &str| output.iter().filter(|line| line.contains(text)).collect::<Vec<_>>();
    let lost: u64 = ends.iter().map(|end| end.lost).sum();
    println!("{} workers ended with {lost} connections open; {tally:?}", ends.len());
    println!("{}", said("the master has ").last().map_or("few messages", |line| line));
    assert_eq!(said("violation: "), Vec::<&String>::new());
    assert_eq!(said("panicked"), Vec::<&String>::new());
    assert_eq!(said("lines were not written"), Vec::<&String>::new());
    assert_eq!(tally.hung, 0, "{tally:?}");
    assert!(tally.other.is_empty(), "{tally:?}");
    let all = count.losses();
    assert_eq!(all.len() as u64, tally.reset + tally.empty, "{tally:?}");
    let deaths = ends.iter().map(|&end| Death { end, open: count.receipts.open_at(end.worker) });
    let (summary, offences) = losses::judge(&all, &deaths.collect::<Vec<_>>());
    println!("{summary}");
    assert!(offences.is_empty(), "no worker's end explains:\n{}", offences.join("\n"));
}
