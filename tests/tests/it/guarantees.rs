//! What is promised of messages under load, across ends and between builds.

use std::time::Instant;

use cluster_tests::{DEADLINE, Running, Signal, eventually, fixture, send_signal};

fn scene(name: &str) -> Running {
    Running::start(fixture!("guarantees"), &[name], &[])
}

#[test]
fn forty_thousand_broadcasts_come_to_all_in_order_and_none_is_missed() {
    let variables = [("CLUSTER_WORKERS", "4")];
    let program = Running::start(fixture!("messages"), &["numbered", "10000"], &variables);
    for slot in 0..4 {
        program.line(&format!("slot {slot} has all of 3 senders in order"));
    }
    program.line("master has all of 4 senders in order");
    program.stop();
}

#[test]
fn who_reads_slowly_but_all_the_time_misses_nothing() {
    let program = scene("slow");
    program.line("slot 1 has all, and took its time for a part: true");
    program.stop();
}

#[test]
fn large_messages_of_ten_tasks_do_not_mix() {
    let program = scene("tasks");
    program.line("slot 1 has all of [20, 20, 20, 20, 20, 20, 20, 20, 20, 20]");
    program.stop();
}

#[test]
fn ready_and_stop_pass_by_messages_of_any_size() {
    let program = scene("heavy");
    program.line("slot 1 has number 0");
    send_signal(program.worker(2).pid, Signal::KILL);
    program.lines("slot 2 runs", 2);
    program.line("slot 1 has number 2");
    let since = Instant::now();
    program.stop();
    assert!(since.elapsed() < DEADLINE / 2, "{:?}", since.elapsed());
}

#[test]
fn what_was_sent_before_exit_is_called_arrives_before_the_exit_is_told() {
    let program = scene("exit");
    program.line("at the exit: 10000000 bytes");
    program.stop();
}

#[test]
fn a_worker_is_told_at_the_call_that_another_has_ended() {
    let program = scene("ended");
    let line = program.line("sending to worker ");
    let victim = program.worker(1);
    send_signal(victim.pid, Signal::KILL);
    let told = program.line("ended: unreachable true: ");
    let (_, number) = line.rsplit_once(' ').expect("a number");
    let expected = format!("`guarantees::Note` to worker {number}: that worker has ended");
    assert!(told.contains(&expected), "{told}");
    program.line("to another: Ok(())");
    program.stop();
}

#[test]
fn a_service_is_reached_as_a_whole_or_one_worker_in_turn() {
    let program = scene("service");
    for slot in [1, 2] {
        program.line(&format!("slot {slot} got what is for all workers"));
    }
    for slot in 0..3 {
        program.line(&format!("slot {slot} got its turn"));
    }
    let line = program.line("unknown: unreachable true: ");
    assert!(line.contains("service \"jobs\": there is no such service"), "{line}");
    program.line("the master got nothing of it");
    let got = program.output().iter().filter(|line| line.contains("the master got")).count();
    assert_eq!(got, 1, "{:#?}", program.output());
    program.stop();
}

#[test]
fn messages_of_another_layout_are_counted_and_told_once() {
    let program = scene("foreign");
    program.lines("slot 1: foreign true: receive `shop::News` from worker ", 3);
    let told = program.line("dropped a message `shop::News` of generation 1");
    assert!(told.contains("(generation 1)") && told.contains("layout"), "{told}");
    eventually("the count", || {
        program.signal(Signal::USR1);
        program.output().iter().any(|line| line.contains("3 messages not read")).then_some(())
    });
    let count = program.output().iter().filter(|line| line.contains("dropped a message")).count();
    assert_eq!(count, 1, "{:#?}", program.output());
    program.stop();
}
