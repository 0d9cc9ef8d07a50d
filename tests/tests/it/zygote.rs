//! The zygote killed, and the program's file replaced or deleted meanwhile.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use cluster_tests::{
    Running, Signal,
    client::{Load, Outcome, Tally, get},
    eventually, fixture, send_signal,
};

/// Kills the zygote and waits for the next.
fn replace_zygote(program: &Running) {
    let old = eventually("a zygote", || program.zygote());
    send_signal(old.pid, Signal::KILL);
    eventually("another zygote", || program.zygote().filter(|new| new.pid != old.pid));
}

fn pids(program: &Running) -> Vec<i32> {
    program.workers().iter().map(|worker| worker.pid).collect()
}

/// Kills a worker and waits until its replacement answers.
fn replace_worker(program: &Running) {
    let address = program.address();
    let old = program.worker(0);
    send_signal(old.pid, Signal::KILL);
    let new = eventually("another worker", || {
        program.workers().into_iter().find(|w| w.title == old.title && w.pid != old.pid)
    });
    eventually("an answer of the new worker", || {
        (get(address, "/pid") == Outcome::Answered(new.pid.to_string())).then_some(())
    });
}

#[test]
fn a_killed_zygote_is_replaced_and_no_request_is_lost() {
    let program = Running::start(fixture!("serve"), &[], &[]);
    let load = Load::start(program.address(), "/", 4, Duration::from_millis(2));
    program.wait_for_workers(2);
    let workers = pids(&program);
    for _ in 0..3 {
        replace_zygote(&program);
    }
    let enough = load.so_far().total() + 100;
    eventually("more requests", || (load.so_far().total() >= enough).then_some(()));
    let tally = load.stop();
    assert_eq!(tally, Tally { answered: tally.answered, ..Tally::default() });
    assert_eq!(pids(&program), workers);
    replace_worker(&program);
    program.stop();
}

/// A copy of a fixture program that is deleted in the end.
struct Installed(PathBuf);

impl Installed {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = folder.join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        fs::copy(fixture!("serve"), folder.join("app")).expect("a copy");
        Self(folder)
    }

    fn program(&self) -> PathBuf {
        self.0.join("app")
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Starts a copy, changes the file, kills zygote and worker: the old code goes on.
fn survives(name: &str, change: impl FnOnce(&Path)) {
    let installed = Installed::new(name);
    let path = installed.program();
    let program = Running::start(path.to_str().expect("text"), &[], &[]);
    program.address();
    program.wait_for_workers(2);
    change(&path);
    replace_zygote(&program);
    replace_worker(&program);
    assert_eq!(program.worker(0).title, "app: worker 0");
    program.stop();
}

#[test]
fn the_old_code_goes_on_when_its_file_is_deleted() {
    survives("deleted", |path| fs::remove_file(path).expect("the file was there"));
}

// By rename, as package managers do it: a running program's file cannot be written to.
#[test]
fn the_old_code_goes_on_when_its_file_is_replaced() {
    survives("replaced", |path| {
        let script = path.with_extension("new");
        fs::write(&script, "#!/bin/sh\necho this is another program\nexit 9\n").expect("a file");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("our file");
        fs::rename(&script, path).expect("our file");
    });
}

/// Where the program's code begins in the process.
fn layout(pid: i32) -> String {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("it lives");
    maps.split('-').next().expect("an address").to_owned()
}

// Somebody who guesses addresses gets another layout after a few guesses, not thousands at one.
#[test]
fn many_crashes_by_signal_change_the_address_layout() {
    let program = Running::start(fixture!("serve"), &[], &[("CLUSTER_BACKOFF", "1ms..10ms")]);
    let address = program.address();
    program.wait_for_workers(2);
    let (zygote, before) = (program.zygote().expect("a zygote"), layout(program.worker(0).pid));
    for _ in 0..5 {
        eventually("two workers", || (program.workers().len() == 2).then_some(()));
        assert_eq!(layout(program.worker(0).pid), before);
        get(address, "/abort");
    }
    program.line("zygote 1 exited: renewed: 5 of its workers crashed by a signal within 60 s");
    eventually("another zygote", || program.zygote().filter(|new| new.pid != zygote.pid));
    replace_worker(&program);
    assert_ne!(layout(program.worker(0).pid), before);
    program.stop();
}
