//! Rolling reloads: under load, with the program really replaced, and with every kind of bad newcomer.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use cluster_tests::{
    Running, Signal,
    client::{Load, Outcome, Tally, get},
    deploy::Deployed,
    eventually, fixture,
    keep_alive::KeepAlive,
    setting,
};

fn body(program: &Running, path: &str) -> String {
    match get(program.address(), path) {
        Outcome::Answered(body) => body,
        other => panic!("{path}: {other:?}"),
    }
}

fn pids(program: &Running) -> BTreeSet<i32> {
    program.workers().into_iter().map(|worker| worker.pid).collect()
}

/// The versions and generations that all slots answer with.
fn answers(program: &Running, slots: usize) -> BTreeSet<String> {
    let answer = || body(program, "/").rsplit_once(' ').expect("three words").0.to_owned();
    (0..2 * slots).map(|_| answer()).collect()
}

// By CLUSTER_TEST_ROUNDS=50 this becomes the fifty reloads and the hundred thousand requests.
#[test]
fn reloads_under_load_fail_no_request_and_change_every_worker() {
    let rounds = setting("CLUSTER_TEST_ROUNDS", 4);
    let program = Running::start(fixture!("steered"), &[], &[("CLUSTER_WORKERS", "3")]);
    let address = program.address();
    program.wait_for_workers(3);
    let load = Load::start(address, "/", 6, Duration::from_micros(300));
    let kept = KeepAlive::start(address, 4, Duration::from_millis(1));
    let mut before = pids(&program);
    for round in 0..rounds {
        let outcome = program.order("reload");
        assert_eq!(outcome, format!("ok Reloaded {{ generation: {} }}", round + 2));
        let now = eventually("as many workers as before, all new", || {
            Some(pids(&program)).filter(|now| now.len() == 3 && now.is_disjoint(&before))
        });
        before = now;
        assert_eq!(answers(&program, 3), [format!("one {}", round + 2)].into());
    }
    let (tally, counts) = (load.stop(), kept.stop());
    println!("{rounds} reloads, {tally:?}, kept alive: {counts:?}");
    assert_eq!(tally, Tally::of_answers(tally.answered));
    assert_eq!(counts.unanswered.load(std::sync::atomic::Ordering::Relaxed), 0, "{counts:?}");
    assert_eq!(program.exits().1, 0, "connections lost: {:#?}", program.output());
    program.stop();
}

#[test]
fn a_replaced_program_takes_over_and_the_master_stays() {
    let deployed = Deployed::new(fixture!("steered"), "one", "serve");
    let program = deployed.start(&[]);
    assert_eq!(answers(&program, 2), ["one 1".to_owned()].into());
    for (version, generation) in [("two", 2), ("three", 3)] {
        deployed.replace(fixture!("steered"), version, "serve");
        // A respawn never meets new code.
        cluster_tests::send_signal(program.worker(1).pid, Signal::KILL);
        program.wait_for_workers(2);
        let old = answers(&program, 2);
        assert!(old.iter().all(|answer| !answer.starts_with(version)), "{old:?}");
        program.signal(Signal::HUP);
        program.line(&format!("reload to generation {generation} finished"));
        assert_eq!(answers(&program, 2), [format!("{version} {generation}")].into());
    }
    let zygote = eventually("one zygote", || {
        let zygotes: Vec<_> =
            program.processes().into_iter().filter(|p| p.title.contains(": zygote ")).collect();
        (zygotes.len() == 1).then(|| zygotes[0].clone())
    });
    assert!(zygote.title.ends_with(": zygote 3"), "{}", zygote.title);
    program.stop();
}

/// Deploys a bad newcomer, reloads, and checks that nothing has changed and a good one still can come.
/// Returns what the order came to.
fn bad_newcomer(deploy: impl FnOnce(&Deployed), variables: &[(&str, &str)]) -> String {
    let deployed = Deployed::new(fixture!("steered"), "one", "serve");
    let program = deployed.start(variables);
    let slots = variables.iter().find(|(name, _)| *name == "CLUSTER_WORKERS");
    let slots = slots.map_or(2, |(_, workers)| workers.parse().expect("a number"));
    program.wait_for_workers(slots);
    let load = Load::start(program.address(), "/", 3, Duration::from_millis(1));
    deploy(&deployed);
    let outcome = program.order("reload");
    assert!(outcome.starts_with("error reload the cluster: "), "{outcome}");
    assert_eq!(answers(&program, slots), ["one 1".to_owned()].into());
    eventually("the newcomers' end", || (program.workers().len() == slots).then_some(()));
    // By signal, the failure is a line; and afterwards signals are as good as before.
    program.signal(Signal::HUP);
    program.line("reload to generation 3 failed: ");
    deployed.replace(fixture!("steered"), "good", "serve");
    program.signal(Signal::HUP);
    program.line(" finished");
    let answers = answers(&program, slots);
    assert!(answers.iter().all(|answer| answer.starts_with("good ")), "{answers:?}");
    let tally = load.stop();
    assert_eq!(tally, Tally::of_answers(tally.answered), "{:#?}", program.output());
    program.stop();
    outcome
}

#[test]
fn a_missing_program_changes_nothing() {
    let outcome = bad_newcomer(Deployed::remove, &[]);
    assert!(outcome.contains("/app: No such file or directory"), "{outcome}");
}

#[test]
fn a_program_that_may_not_be_run_changes_nothing() {
    let outcome = bad_newcomer(|deployed| deployed.install("/dev/null", "\x7fELF", 0o644), &[]);
    assert!(outcome.contains("exec: Permission denied"), "{outcome}");
}

#[test]
fn a_file_that_is_no_program_changes_nothing() {
    let outcome = bad_newcomer(|deployed| deployed.install("/dev/null", "hello\n", 0o755), &[]);
    assert!(outcome.contains("exec: Exec format error"), "{outcome}");
}

#[test]
fn a_script_in_the_programs_place_changes_nothing_and_is_named() {
    let script = |deployed: &Deployed| {
        deployed.install("/dev/null", "#!/bin/sh\nexec ./app.real \"$@\"\n", 0o755);
    };
    let outcome = bad_newcomer(script, &[]);
    assert!(outcome.contains("exec: No such file or directory"), "{outcome}");
    assert!(outcome.contains("it is a script"), "{outcome}");
}

#[test]
fn a_newcomer_that_listens_elsewhere_changes_nothing_and_what_it_lacks_is_named() {
    let elsewhere = |deployed: &Deployed| deployed.replace(fixture!("steered"), "two", "elsewhere");
    let outcome = bad_newcomer(elsewhere, &[("CLUSTER_START_TIMEOUT", "2s")]);
    assert!(outcome.contains("(start_timeout): it does not accept on 127.0.0.1:"), "{outcome}");
    assert!(outcome.contains(", where the worker before it does"), "{outcome}");
}

#[test]
fn another_program_that_ends_changes_nothing() {
    let quits = |deployed: &Deployed| deployed.replace(fixture!("imposter"), "x", "quits");
    let outcome = bad_newcomer(quits, &[]);
    assert!(outcome.contains("code 3") && outcome.contains("wrong program"), "{outcome}");
}

#[test]
fn another_program_that_lives_changes_nothing() {
    let silent = |deployed: &Deployed| deployed.replace(fixture!("imposter"), "x", "silent");
    let outcome = bad_newcomer(silent, &[]);
    assert!(outcome.contains("did not answer for 5 s"), "{outcome}");
}

#[test]
fn a_newcomer_of_another_protocol_changes_nothing() {
    let stranger = |deployed: &Deployed| deployed.replace(fixture!("imposter"), "x", "stranger");
    let outcome = bad_newcomer(stranger, &[]);
    assert!(outcome.contains("it speaks protocol 999"), "{outcome}");
}

#[test]
fn a_newcomer_that_fails_to_start_changes_nothing_and_its_last_words_are_told() {
    let crash = |deployed: &Deployed| deployed.replace(fixture!("steered"), "two", "crash");
    let outcome = bad_newcomer(crash, &[]);
    assert!(outcome.contains("slot 0") && outcome.contains("failed to start"), "{outcome}");
    assert!(outcome.contains("newcomer: the database is not there"), "{outcome}");
}

#[test]
fn a_newcomer_that_hangs_before_it_is_ready_changes_nothing() {
    let hang = |deployed: &Deployed| deployed.replace(fixture!("steered"), "two", "hang");
    let outcome = bad_newcomer(hang, &[("CLUSTER_START_TIMEOUT", "2s")]);
    assert!(outcome.contains("not ready 2s after its spawn (start_timeout)"), "{outcome}");
}

#[test]
fn a_newcomer_that_dies_soon_after_it_was_ready_changes_nothing() {
    let late = |deployed: &Deployed| deployed.replace(fixture!("steered"), "two", "die-late");
    let outcome = bad_newcomer(late, &[]);
    assert!(outcome.contains("SIGABRT"), "{outcome}");
}

#[test]
fn a_newcomer_that_fails_at_the_third_slot_is_taken_back_everywhere() {
    let third = |deployed: &Deployed| deployed.replace(fixture!("steered"), "two", "crash-in-2");
    let outcome = bad_newcomer(third, &[("CLUSTER_WORKERS", "4")]);
    assert!(outcome.contains("slot 2") && outcome.contains("slot 2 cannot"), "{outcome}");
}

#[test]
fn reloads_asked_for_meanwhile_are_one() {
    let program = Running::start(fixture!("steered"), &[], &[]);
    program.wait_for_workers(2);
    let first = program.begin_order("reload");
    program.line("event reload to generation 2 started");
    let others: Vec<_> = (0..3).map(|_| program.begin_order("reload")).collect();
    assert_eq!(first.outcome(), "ok Reloaded { generation: 2 }");
    for other in others {
        assert_eq!(other.outcome(), "ok Reloaded { generation: 3 }");
    }
    assert_eq!(answers(&program, 2), ["one 3".to_owned()].into());
    program.stop();
}

#[test]
fn a_worker_killed_during_a_reload_comes_back() {
    let deployed = Deployed::new(fixture!("steered"), "one", "serve");
    let program = deployed.start(&[("CLUSTER_WORKERS", "3")]);
    program.wait_for_workers(3);
    let load = Load::start(program.address(), "/", 4, Duration::from_millis(1));
    deployed.replace(fixture!("steered"), "two", "serve");
    // Before any newcomer can be among them.
    let before = pids(&program);
    let reload = program.begin_order("reload");
    program.line("event reload to generation 2 started");
    for slot in [1, 2] {
        cluster_tests::send_signal(program.worker(slot).pid, Signal::KILL);
    }
    assert_eq!(reload.outcome(), "ok Reloaded { generation: 2 }");
    assert_eq!(answers(&program, 3), ["two 2".to_owned()].into());
    eventually("new workers only", || {
        Some(pids(&program)).filter(|now| now.len() == 3 && now.is_disjoint(&before))
    });
    let tally = load.stop();
    assert_eq!((tally.refused, tally.hung), (0, 0), "{tally:?}");
    assert!(tally.reset + tally.empty <= program.exits().1, "{tally:?}");
    program.stop();
}

/// Stops during a reload whose newcomer hangs: it ends, with nobody left.
fn stops_during_a_reload(stop: impl Fn(&Running)) {
    let deployed = Deployed::new(fixture!("steered"), "one", "serve");
    let mut program = deployed.start(&[("CLUSTER_GRACE", "5s")]);
    program.wait_for_workers(2);
    deployed.replace(fixture!("steered"), "two", "hang");
    let reload = program.begin_order("reload");
    program.lines("worker 3) online", 1);
    let begun = Instant::now();
    stop(&program);
    assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    // The order was answered, unless the master was gone before the answer could be written.
    let outcome = reload.outcome();
    assert!(outcome.is_empty() || outcome.contains("the cluster is stopping"), "{outcome}");
}

#[test]
fn a_stop_during_a_reload_gets_through() {
    stops_during_a_reload(|program| program.signal(Signal::TERM));
}

#[test]
fn a_stop_to_every_process_during_a_reload_gets_through() {
    stops_during_a_reload(|program| {
        program.signal_all(Signal::TERM);
        program.signal(Signal::TERM);
    });
}

#[test]
fn descriptors_and_processes_are_as_many_after_many_reloads_as_after_one() {
    let program = Running::start(fixture!("steered"), &[], &[]);
    program.wait_for_workers(2);
    let master = cluster_tests::proc::Process::look(program.pid()).expect("it lives");
    let settled = || {
        eventually("four processes", || (program.processes().len() == 4).then_some(()));
        let count = || (master.descriptors().len(), master.threads().len());
        // The threads that wrote the newcomers' stderr end a moment later.
        eventually("no descriptor or thread that is about to go", || {
            let before = count();
            std::thread::sleep(Duration::from_millis(50));
            (count() == before && !master.threads().contains(&"cluster-capture".to_owned()))
                .then_some(before)
        })
    };
    program.order("reload");
    let before = settled();
    for _ in 0..3 {
        program.order("reload");
    }
    assert_eq!(settled(), before);
    program.stop();
}
