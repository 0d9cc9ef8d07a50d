//! `user` and `group`: workers and zygote are somebody else, the master keeps root and the sockets.

use std::fs;

use cluster_tests::{
    Running, Signal,
    client::{Outcome, get},
    eventually, fixture, send_signal, skip,
};

/// The lines `Uid`, `Gid`, `Groups` and `CapEff` of a process.
fn identity(pid: i32) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let wanted = ["Uid:", "Gid:", "Groups:", "CapEff:"];
    let lines = status.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("only root can start workers as somebody else");
    }
    root
}

#[test]
fn workers_are_who_was_named_and_the_master_is_not() {
    if !is_root() {
        return;
    }
    let variables = [("CLUSTER_USER", "nobody"), ("CLUSTER_GROUP", "nogroup")];
    let program = Running::start(fixture!("serve"), &[], &variables);
    program.wait_for_workers(2);
    assert!(matches!(get(program.address(), "/"), Outcome::Answered(_)));
    let nobody = identity(program.worker(0).pid);
    assert_eq!(nobody[0], "Uid: 65534 65534 65534 65534");
    assert_eq!(nobody[1], "Gid: 65534 65534 65534 65534");
    assert!(nobody[2] == "Groups:" || nobody[2] == "Groups: 65534", "{nobody:?}");
    assert_eq!(nobody[3], "CapEff: 0000000000000000");
    let zygote = program.zygote().expect("a zygote");
    assert_eq!(identity(zygote.pid), nobody);
    assert!(identity(program.pid())[0].starts_with("Uid: 0 0"));
    // The change of credentials disarms it, so it has to be armed afterwards.
    let Outcome::Answered(death) = get(program.address(), "/death") else { panic!("no answer") };
    assert!(death.contains("KILL"), "{death}");
    program.stop();
}

#[test]
fn what_is_preloaded_is_made_by_who_was_named() {
    if !is_root() {
        return;
    }
    let variables = [("CLUSTER_USER", "nobody")];
    let program = Running::start(fixture!("preloads"), &["serve"], &variables);
    let line = program.line("preloaded ");
    assert!(line.ends_with(" as 65534"), "{line}");
    program.lines(" has ", 2);
    program.stop();
    // Who has changed its user may not read everything about itself.
    for (behaviour, text) in [("thread", "workers: ticker;"), ("pair", "(Unix), descriptor")] {
        let mut program = Running::start(fixture!("preloads"), &[behaviour], &variables);
        let line = program.line("zygote 1 exited: preload left ");
        assert!(line.contains(text), "{line}");
        assert_eq!(program.exit_code(), 70);
    }
}

#[test]
fn nobody_is_left_when_the_master_is_killed() {
    if !is_root() {
        return;
    }
    let mut program = Running::start(fixture!("serve"), &[], &[("CLUSTER_USER", "nobody")]);
    program.wait_for_workers(2);
    program.signal(Signal::KILL);
    program.exit();
    program.wait_for_nobody();
}

#[test]
fn respawns_and_stops_work_as_ever() {
    if !is_root() {
        return;
    }
    let program = Running::start(fixture!("serve"), &[], &[("CLUSTER_USER", "nobody")]);
    program.wait_for_workers(2);
    let before = program.worker(1).pid;
    send_signal(before, Signal::KILL);
    eventually("a respawn", || (program.worker(1).pid != before).then_some(()));
    assert!(matches!(get(program.address(), "/"), Outcome::Answered(_)));
    program.stop();
}

#[test]
fn a_user_that_is_not_there_stops_the_start() {
    let mut program = Running::start(fixture!("serve"), &[], &[("CLUSTER_USER", "no-such-user")]);
    assert_eq!(program.exit_code(), 78);
    let said = program.output().join("\n");
    assert!(said.contains("no-such-user") && said.contains("no such user"), "{said}");
}
