//! The master as the first process of a container: it gets every orphan, reaps it, and nothing else.

use std::process::Command;

use cluster_tests::{
    Running, Signal,
    client::{Outcome, get},
    eventually, fixture, proc, send_signal, skip,
};

/// The descendants of the process with this pid, in every pid namespace below.
fn descendants(pid: i32) -> Vec<proc::Process> {
    let mut found = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        let path = format!("/proc/{parent}/task/{parent}/children");
        let list = std::fs::read_to_string(path).unwrap_or_default();
        let children = list.split_whitespace().filter_map(|pid| pid.parse().ok());
        let children: Vec<_> = children.filter_map(proc::Process::look).collect();
        parents.extend(children.iter().map(|child| child.pid));
        found.extend(children);
    }
    found
}

#[test]
fn it_serves_respawns_and_reaps_what_its_workers_leave() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can make a pid namespace everywhere");
    }
    // What a container runtime does: a pid namespace with its own /proc.
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child", fixture!("steered")]);
    let mut program = Running::start_command(command);
    let address = program.address();
    let workers = || {
        let all = descendants(program.pid()).into_iter();
        all.filter(|p| p.title.contains(": worker ")).collect::<Vec<_>>()
    };
    eventually("a worker", || (!workers().is_empty()).then_some(()));
    for _ in 0..3 {
        assert!(matches!(get(address, "/orphan"), Outcome::Answered(_)));
        let before = workers();
        for worker in &before {
            send_signal(worker.pid, Signal::KILL);
        }
        eventually("other workers", || {
            let now = workers();
            let new = now.len() == before.len() && now.iter().all(|w| !before.contains(w));
            new.then_some(())
        });
        assert!(matches!(get(address, "/"), Outcome::Answered(_)));
    }
    // Zombies that nobody knows are left for 5 s to whoever may still come for them.
    eventually("no zombie", || {
        descendants(program.pid()).iter().all(|p| p.state != 'Z').then_some(())
    });
    let master = descendants(program.pid()).into_iter().find(|p| p.title.ends_with(": master"));
    send_signal(master.expect("the master").pid, Signal::TERM);
    assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
}
