//! Several services in one cluster: their slots, their rules, and what one means to the others.

use std::time::Duration;

use cluster_tests::{
    Running, Signal,
    client::{Load, Outcome, Tally, get},
    events::assert_in_order,
    eventually, eventually_is, fixture, send_signal,
};

use crate::examples::example;

const ALL: &str = "ok 0:web 1:web 2:jobs 3:jobs 4:extra";

fn start(variables: &[(&str, &str)]) -> Running {
    let program = Running::start(fixture!("services"), &[], variables);
    program.lines(") ready", 5);
    program
}

/// Who lives, by slot.
fn workers(program: &Running) -> String {
    let answer = program.order("workers");
    let mut words: Vec<&str> = answer.trim_start_matches("ok ").split(' ').collect();
    words.sort_unstable();
    format!("ok {}", words.join(" "))
}

/// Where in the output a line is that contains all of `texts`.
fn place(output: &[String], texts: &[&str]) -> usize {
    let is_it = |line: &String| texts.iter().all(|text| line.contains(text));
    output.iter().position(is_it).unwrap_or_else(|| panic!("{texts:?} in {output:#?}"))
}

fn answered(outcome: Outcome) -> String {
    match outcome {
        Outcome::Answered(body) => body,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_service_runs_its_function_in_slots_of_its_own() {
    let program = start(&[]);
    assert_eq!(workers(&program), ALL);
    let body = answered(get(program.address(), "/"));
    assert!(["0 web 42", "1 web 42"].contains(&body.as_str()), "{body}");
    // Sticky: the same client has the same worker.
    assert_eq!(answered(get(program.address(), "/")), body);
    let mut turns = [program.order("ask jobs"), program.order("ask jobs")];
    turns.sort();
    assert_eq!(turns, ["ok jobs 2", "ok jobs 3"]);
    assert_eq!(program.order("cast jobs 2"), "ok [2, 3]");
    assert!(answered(get(program.address(), "/job")).starts_with("jobs "));
    let stats = program.order("stats");
    assert!(
        stats.contains("slot 1 (web): worker ") && stats.contains("slot 3 (jobs): "),
        "{stats}"
    );
    let nobody = program.order("ask nobody");
    assert!(nobody.contains("there is no such service"), "{nobody}");
    program.stop();
}

#[test]
fn one_begins_after_another_and_drains_before_it() {
    let mut program = start(&[]);
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code(), 0);
    let output = program.output();
    let ready = place(&output, &["event slot 2 (jobs", "ready"]);
    let spawned = place(&output, &["event slot 0 (web", "spawned"]);
    assert!(ready < spawned, "{output:#?}");
    for (web, jobs) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        let exited = place(&output, &[&format!("event slot {web} (web"), "exited"]);
        let draining = place(&output, &[&format!("event slot {jobs} (jobs"), "draining"]);
        assert!(exited < draining, "{output:#?}");
    }
    assert_eq!(assert_in_order(&output), 5);
}

#[test]
fn a_worker_that_dies_is_replaced_by_one_of_its_service() {
    let program = start(&[]);
    send_signal(program.worker(3).pid, Signal::KILL);
    let line = program.line("exited: SIGKILL; respawning in 0 ms");
    assert!(line.contains("slot 3 (jobs, worker "), "{line}");
    program.line("event slot 3 (jobs, worker 6) ready");
    assert_eq!(workers(&program), ALL);
    program.stop();
}

#[test]
fn a_service_that_gives_up_is_missed_by_nobody_if_it_is_optional() {
    let program = Running::start(fixture!("services"), &[], &[("EXTRA", "fails")]);
    program.line("cluster: service extra: gave up after 2 failed starts with no worker ready");
    eventually_is(&"ok 0:web 1:web 2:jobs 3:jobs".to_owned(), || workers(&program));
    assert!(answered(get(program.address(), "/job")).starts_with("jobs "));
    // A reload tries it again.
    assert_eq!(program.order("reload"), "ok Reloaded { generation: 2 }");
    program.lines("cluster: service extra: gave up after 2 failed starts", 2);
    program.stop();
}

#[test]
fn a_service_that_gives_up_ends_the_cluster_if_it_is_not() {
    let variables = [("EXTRA", "fails"), ("CLUSTER_OPTIONAL_EXTRA", "off")];
    let mut program = Running::start(fixture!("services"), &[], &variables);
    program.line("service extra: gave up after 2 failed starts");
    assert_eq!(program.exit_code(), 70);
}

#[test]
fn each_has_variables_of_its_own_and_none_has_those_of_all() {
    let program =
        Running::start(fixture!("services"), &[], &[("CLUSTER_WORKERS_WEB", "3"), ("EXTRA", "")]);
    eventually_is(&"ok 0:web 1:web 2:web 3:jobs 4:jobs 5:extra".to_owned(), || workers(&program));
    program.stop();
    for (name, value, why) in [
        ("CLUSTER_WORKERS", "4", "each service has its own number"),
        ("CLUSTER_WORKERS", "0", "with services `main` is the master's: there would be no worker"),
        ("CLUSTER_WORKERS_JOBS", "0", "CLUSTER_WORKERS_JOBS=\"0\": not allowed"),
        ("CLUSTER_GRACE_JOBS", "soon", "CLUSTER_GRACE_JOBS=\"soon\": not allowed"),
        ("CLUSTER_WORKERS_JOBS", "510", "workers: 513 of all services: at most 512"),
    ] {
        let mut program = Running::start(fixture!("services"), &[], &[(name, value)]);
        assert_eq!(program.exit_code(), 78, "{name}={value}");
        program.line(why);
    }
}

#[test]
fn listeners_are_a_services_own() {
    let program = start(&[("EXTRA", "binds the same")]);
    program.line("extra bound the same: Err(AddrInUse)");
    program.line("extra bound another: true");
    program.stop();
}

#[test]
fn each_is_scaled_by_itself_and_free_numbers_are_used_again() {
    let program = start(&[]);
    let load = Load::start(program.address(), "/job", 4, Duration::from_millis(1));
    eventually("some answers", || (load.so_far().answered > 20).then_some(()));
    for (order, outcome, there) in [
        ("scale-service jobs 1", "{ from: 2, to: 1 }", "ok 0:web 1:web 2:jobs 4:extra"),
        ("scale-service web 3", "{ from: 2, to: 3 }", "ok 0:web 1:web 2:jobs 3:web 4:extra"),
        (
            "scale-service jobs 2",
            "{ from: 1, to: 2 }",
            "ok 0:web 1:web 2:jobs 3:web 4:extra 5:jobs",
        ),
        ("scale-service web 1", "{ from: 3, to: 1 }", "ok 0:web 2:jobs 4:extra 5:jobs"),
        (
            "scale-service jobs 4",
            "{ from: 2, to: 4 }",
            "ok 0:web 1:jobs 2:jobs 3:jobs 4:extra 5:jobs",
        ),
    ] {
        assert_eq!(program.order(order), format!("ok Scaled {outcome}"), "{order}");
        assert_eq!(workers(&program), there, "{order}");
        let served = load.so_far().answered;
        eventually("more answers", || (load.so_far().answered > served + 20).then_some(()));
    }
    let tally = load.stop();
    assert_eq!(tally, Tally::of_answers(tally.answered), "{:#?}", program.output());
    for (order, why) in [
        ("scale 3", "which service? `scale_service` takes one of web, jobs, extra"),
        ("scale-service none 3", "there is no service \"none\": the services are web, jobs, extra"),
        ("scale-service jobs 0", "0 workers: allowed are 1 to 510"),
        ("scale-service jobs 511", "511 workers: allowed are 1 to 510"),
    ] {
        let outcome = program.order(order);
        assert!(outcome.contains(why), "{outcome}");
    }
    program.stop();
}

#[test]
fn a_reload_replaces_all_services_and_loses_nothing() {
    let program = start(&[]);
    let load = Load::start(program.address(), "/", 4, Duration::from_millis(1));
    for generation in 2..4 {
        let outcome = program.order("reload");
        assert_eq!(outcome, format!("ok Reloaded {{ generation: {generation} }}"));
        eventually_is(&ALL.to_owned(), || workers(&program));
    }
    let tally = load.stop();
    assert_eq!(tally, Tally::of_answers(tally.answered), "{:#?}", program.output());
    assert_eq!(assert_in_order(&program.output()), 15);
    program.stop();
}

/// Kills every job worker of the example, again and again, while web workers ask them.
#[test]
fn without_job_workers_the_example_says_so_and_recovers_by_itself() {
    let program = Running::start(&example("services"), &["127.0.0.1:0"], &[]);
    let address = program.address();
    program.wait_for_workers(6);
    let load = Load::start(address, "/primes/20000", 6, Duration::from_millis(1));
    for _ in 0..5 {
        let served = load.so_far().answered;
        eventually("more answers", || (load.so_far().answered > served + 20).then_some(()));
        for slot in [4, 5] {
            send_signal(program.worker(slot).pid, Signal::KILL);
        }
    }
    eventually("an answer of a job worker", || {
        let outcome = get(address, "/primes/100");
        matches!(outcome, Outcome::Answered(body) if body.starts_with("25 primes, says slot "))
            .then_some(())
    });
    // What was being worked on when its worker died, and nothing else, is to be tried again.
    let tally = load.stop();
    let unserved = tally.other.get("HTTP/1.1 503 Service Unavailable").copied().unwrap_or(0);
    assert!(unserved > 0, "{tally:?}");
    assert_eq!(tally.answered + unserved, tally.total(), "{tally:?} {:#?}", program.output());
    program.stop();
}
