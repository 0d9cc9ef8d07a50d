//! Messages between the processes of a cluster: order, bounds, requests and their failures.

use cluster_tests::{Running, Signal, eventually, fixture, freeze, proc::Process, send_signal};

fn scene(name: &str, variables: &[(&str, &str)]) -> Running {
    Running::start(fixture!("messages"), &[name], variables)
}

#[test]
fn every_process_gets_every_broadcast_in_order() {
    let program = scene("numbered", &[("CLUSTER_WORKERS", "4")]);
    for slot in 0..4 {
        program.line(&format!("slot {slot} has all of 3 senders in order"));
    }
    program.line("master has all of 4 senders in order");
    program.stop();
}

#[test]
fn whoever_is_asked_answers() {
    for flavor in ["current_thread", "local", "multi_thread"] {
        let program = scene("ask", &[("CLUSTER_FLAVOR", flavor)]);
        for line in [
            "master asks slot: 8",
            "master asks worker: 10",
            "worker asks master: 2000",
            "worker asks slot: 4000",
            "worker asks worker: 6000",
            "worker waits for worker: 8000",
        ] {
            program.line(line);
        }
        program.stop();
    }
}

#[test]
fn a_request_fails_at_once_when_it_is_dropped_or_its_receiver_dies() {
    let program = scene("fail", &[]);
    let line = program.line("dropped: ");
    assert!(line.contains("request `messages::Double` to slot 1: "), "{line}");
    assert!(line.contains("unanswered true"), "{line}");
    assert!(program.line("late: ").contains("timeout true"));
    assert!(program.line("nobody: ").contains("unreachable true"));
    program.line("asking");
    // Its own deadline is hours away.
    send_signal(program.worker(1).pid, Signal::KILL);
    assert!(program.line("killed: ").contains("unreachable true"));
    program.stop();
}

#[test]
fn a_request_to_a_service_goes_to_the_worker_with_the_fewest() {
    let program = scene("busy", &[]);
    assert!(program.line("late: ").contains("timeout true"));
    program.line("with one busy: 1 of 2 answer");
    program.line("with both busy: 2 of 2 answer");
    program.stop();
}

#[test]
fn whoever_is_asked_is_told_that_the_asker_waits_no_longer() {
    let program = scene("given_up", &[]);
    for who in ["slot 1", "the master"] {
        for what in ["late", "dropped"] {
            program.line(&format!("{who} is told of {what}: awaited false"));
        }
    }
    for who in ["slot 1", "the master"] {
        program.line(&format!("{who} holds killed"));
    }
    send_signal(program.worker(0).pid, Signal::KILL);
    for who in ["slot 1", "the master"] {
        program.line(&format!("{who} is told of killed: awaited false"));
    }
    program.stop();
}

#[test]
fn whoever_asks_where_nobody_subscribes_is_told_so() {
    let mut program = Running::start(fixture!("unheard"), &[], &[]);
    assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
    program.wait_for_output();
    let line = program.line("the master: ");
    assert!(
        line.contains("request `unheard::Ask` to the master: the master has no branch"),
        "{line}"
    );
    assert!(line.contains("unreachable true"), "{line}");
    program.line("at once: true");
    let line = program.line("nobody: ");
    let unheard = "no reply within 50ms: nobody there had subscribed to it when it came";
    assert!(line.contains(unheard) && line.contains("timeout true"), "{line}");
    let line = program.line("a slow one: ");
    assert!(line.contains("no reply within 50ms [") && line.contains("timeout true"), "{line}");
}

#[test]
fn the_master_is_told_at_the_call_that_nobody_is_there() {
    let program = scene("unknown", &[]);
    for what in ["send", "try_send", "slot", "service", "request"] {
        let line = program.line(&format!("{what}: "));
        assert!(line.contains("unreachable true"), "{line}");
    }
    program.stop();
}

#[test]
fn what_is_too_large_is_not_sent_at_all() {
    let program = scene("too_large", &[]);
    for what in ["too large", "too large for all"] {
        let line = program.line(&format!("{what}: "));
        assert!(line.contains("too large true"), "{line}");
    }
    program.line("then: 42");
    program.stop();
}

#[test]
fn what_was_sent_before_the_end_arrives_before_the_exit_is_told() {
    let program = scene("last_words", &[]);
    program.line("at the exit: 10000000 bytes");
    program.stop();
}

#[test]
fn without_a_master_a_process_reaches_itself_and_nobody_else() {
    let mut program = scene("alone", &[("CLUSTER_WORKERS", "0")]);
    assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
    program.wait_for_output();
    for what in ["to the master: ", "to another slot: "] {
        assert!(program.line(what).contains("unreachable true"));
    }
    program.line("to everybody: Ok(())");
    program.line("to itself: 3 from worker 1");
    program.line("asks itself: 16");
    assert!(program.line("drops it: ").contains("unanswered true"));
    assert!(program.line("late: ").contains("timeout true"));
    program.line("it is told: awaited false");
}

/// The count of messages that came, and of those that were missed.
fn tally(line: &str) -> (u64, u64) {
    let (_, rest) = line.split_once(" has ").expect("a count");
    let (came, missed) = rest.split_once(", missed ").expect("two counts");
    (came.parse().expect("a number"), missed.parse().expect("a number"))
}

#[test]
fn a_stopped_worker_lags_alone_and_costs_the_master_no_memory() {
    // 256 MiB; a longer storm changes nothing but the time that it takes.
    const GUSTS: u64 = 4 * 1024;
    let count = cluster_tests::setting("CLUSTER_TEST_GUSTS", GUSTS);
    let program = Running::start(fixture!("storm"), &[&count.to_string()], &[]);
    program.line("waiting for USR1");
    let memory = || {
        let master = Process::look(program.pid()).expect("the master lives");
        let text = master.status("VmRSS").expect("a size");
        text.trim_end_matches(" kB").parse::<u64>().expect("a number of kB")
    };
    let victim = program.worker(3);
    freeze(&victim);
    let before = memory();
    program.signal(Signal::USR1);
    let mut most = before;
    eventually("the end of the storm", || {
        most = most.max(memory());
        program.output().iter().any(|line| line == "all is sent").then_some(())
    });
    for who in ["slot 1", "slot 2", "the master"] {
        assert_eq!(tally(&program.line(&format!("{who} has "))), (count, 0), "{who}");
    }
    most = most.max(memory());
    println!("the master's memory went from {before} KiB to {most} KiB at most");
    assert!(most < before + 32 * 1024, "{before} KiB, then {most} KiB");
    send_signal(victim.pid, Signal::CONT);
    let (came, missed) = tally(&program.line("slot 3 has "));
    assert!(missed > count / 2 && came > 0, "{came} came, {missed} missed");
    program.stop();
}
