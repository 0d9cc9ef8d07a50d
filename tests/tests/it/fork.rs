//! Forked functions: their channel, their ends, what they leave; in master, worker and without a cluster.

use cluster_tests::{
    Running,
    client::{Outcome, get},
    eventually, fixture, proc,
};

fn ask(program: &Running, what: &str) -> String {
    match get(program.address(), &format!("/{what}")) {
        Outcome::Answered(body) => body,
        other => panic!("{what}: {other:?}\n{:#?}", program.output()),
    }
}

/// What comes of it in a worker and in the master.
fn everywhere(what: &str, check: impl Fn(&Running, &str)) {
    let program = Running::start(fixture!("forks"), &[], &[]);
    for place in ["", "master/"] {
        let said = ask(&program, &format!("{place}{what}"));
        check(&program, &said);
        // Master, zygote, worker.
        eventually("no child", || (program.processes().len() == 3).then_some(()));
    }
    program.stop();
}

#[test]
fn a_child_counts_and_takes_orders_until_the_channel_ends() {
    everywhere("count", |_, said| assert_eq!(said, "Some(55), true, true, true, exit status: 0"));
}

#[test]
fn it_works_without_a_cluster_and_once() {
    let program = Running::start(fixture!("forks"), &[], &[("CLUSTER_WORKERS", "0")]);
    assert_eq!(ask(&program, "count"), "Some(55), true, true, true, exit status: 0");
    program.stop();
    let mut program =
        Running::start(fixture!("forks"), &["once", "count"], &[("CLUSTER_WORKERS", "0")]);
    assert_eq!(program.exit_code(), 0);
    program.line("Some(55), true, true, true, exit status: 0");
}

#[test]
fn many_messages_both_ways_at_once_do_not_block_each_other() {
    everywhere("storm/100000", |_, said| assert_eq!(said, "100000 both ways, exit status: 0"));
}

#[test]
fn a_large_message_before_the_return_is_delivered_and_a_too_large_one_refused() {
    let program = Running::start(fixture!("forks"), &[], &[]);
    assert_eq!(ask(&program, "large/10"), "Some(10), too large: false");
    assert_eq!(ask(&program, "large/63"), "Some(63), too large: false");
    assert_eq!(ask(&program, "large/64"), "None, too large: true");
    program.stop();
}

#[test]
fn a_child_killed_in_the_middle_of_a_message_is_an_error_and_no_hang() {
    everywhere("killed", |_, said| {
        assert_eq!(said, "[false], true, signal: 9 (SIGKILL)");
    });
}

#[test]
fn a_descriptor_moves_with_its_message_there_and_back() {
    everywhere("fd", |_, said| assert_eq!(said, "Number(42), 42, exit status: 0"));
}

#[test]
fn a_child_is_born_with_its_channel_and_nothing_else() {
    // Stdin, stdout and stderr of the harness, the channel, and three of tokio's signal driver.
    let expected =
        r#"["/dev/null", "pipe", "pipe", "socket", "socket", "socket", "socket"], 0 variables"#;
    everywhere("born", |_, said| assert_eq!(said, expected));
}

#[test]
fn a_dropped_handle_leaves_neither_child_nor_grandchild() {
    everywhere("dropped", |_, said| {
        for pid in said.split(' ').map(|pid| pid.parse().expect("a pid")) {
            let gone = || proc::Process::look(pid).is_none_or(|process| process.state == 'Z');
            eventually("its end", || gone().then_some(()));
        }
    });
}

#[test]
fn what_the_function_returns_is_the_exit_code() {
    everywhere("codes", |_, said| assert_eq!(said, "[Some(0), Some(7), Some(101), Some(99)]"));
}

#[test]
fn garbage_on_the_channel_is_an_error_and_the_end() {
    everywhere("garbage", |_, said| {
        assert!(
            said.starts_with("[Err(\"recv forks::Number: a message of 4294967295 bytes"),
            "{said}"
        );
        assert_eq!(said.matches("Err").count(), 1, "{said}");
    });
}

#[test]
fn many_children_leave_no_zombie_and_no_descriptor() {
    let program = Running::start(fixture!("forks"), &[], &[]);
    ask(&program, "many/3");
    ask(&program, "master/many/3");
    let count = || {
        let of = |p: proc::Process| (p.title.clone(), p.descriptors().len());
        program.processes().into_iter().map(of).collect::<Vec<_>>()
    };
    let settled = || {
        eventually("three processes, at rest", || {
            let before = count();
            std::thread::sleep(std::time::Duration::from_millis(30));
            (before.len() == 3 && count() == before).then_some(before)
        })
    };
    let before = settled();
    ask(&program, "many/30");
    ask(&program, "master/many/30");
    assert_eq!(settled(), before);
    let zombies = proc::of_group(program.pid()).into_iter().filter(|p| p.state == 'Z').count();
    assert_eq!(zombies, 0);
    program.stop();
}

#[derive(serde::Serialize, serde::Deserialize, cluster::ClusterMessage)]
struct Nothing;

#[cluster::child]
async fn never(_parent: cluster::process::Parent<Nothing, Nothing>) {}

// The test harness has no prologue: its copy would run the tests again.
#[test]
fn without_the_prologue_nothing_is_forked() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let forked =
        runtime.expect("a runtime").block_on(async { cluster::process::fork(never).await });
    let error = forked.expect_err("it would run the tests again").to_string();
    assert!(error.contains("#[cluster::main]"), "{error}");
}

#[test]
fn a_variable_set_by_hand_is_refused() {
    for value in ["", "1.3.nobody", "yes", "999.3.x"] {
        let variables = [("CLUSTER_CHILD", value)];
        let mut program = Running::start(fixture!("forks"), &[], &variables);
        assert_eq!(program.exit_code(), 78, "{value}");
        program.line("cluster: CLUSTER_CHILD: ");
    }
}
