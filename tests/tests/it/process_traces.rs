//! What child processes see and leave: descriptors, zombies, descendants, in workers and in the master.

use std::{fs, io::Read, os::fd::AsRawFd, time::Duration};

use cluster::process::{self, Command};
use cluster_tests::{
    Running,
    client::{Outcome, get},
    eventually, fixture, proc,
};

/// The processes whose command line is exactly this.
fn called(line: &str) -> Vec<i32> {
    let pids = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let is = |pid: &i32| {
        let title = proc::Process::look(*pid).map(|p| (p.title, p.state));
        title.is_some_and(|(title, state)| title == line && state != 'Z')
    };
    pids.filter(is).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

// A number that no other test sleeps for, so that the sleepers of each test are its own.
#[test]
fn a_timeout_leaves_none_of_the_tree() {
    let line = "sleep 1001.1 & sleep 1001.1 & wait";
    let limited = process::exec(line).timeout(Duration::from_millis(200));
    runtime().block_on(async { limited.await.expect_err("too slow") });
    assert_eq!(called("sleep 1001.1"), Vec::<i32>::new());
}

#[test]
fn a_timeout_also_ends_what_a_child_left_behind_with_its_streams() {
    let limited = process::exec("sleep 1001.2 &").timeout(Duration::from_millis(500));
    let error = runtime().block_on(async { limited.await.expect_err("its streams stay open") });
    assert_eq!(error.kind(), process::ErrorKind::TimedOut);
    assert_eq!(called("sleep 1001.2"), Vec::<i32>::new());
}

#[test]
fn a_child_that_ends_by_itself_leaves_what_it_started() {
    let line = "sleep 1001.3 >/dev/null 2>&1 & echo $!";
    let output = runtime().block_on(async { process::exec(line).await.expect("an output") });
    let pid: i32 = output.stdout_text().trim().parse().expect("a pid");
    assert_eq!(called("sleep 1001.3"), [pid]);
    cluster_tests::send_signal(pid, cluster_tests::Signal::KILL);
}

#[test]
fn a_dropped_handle_and_a_dropped_future_leave_none_of_the_tree() {
    runtime().block_on(async {
        let child = process::exec("sleep 1001.4 & wait").spawn().expect("a shell");
        eventually("the sleeper", || (called("sleep 1001.4").len() == 1).then_some(()));
        drop(child);
        eventually("nobody", || called("sleep 1001.4").is_empty().then_some(()));
        let running = process::exec("sleep 1001.4 & wait").output();
        let cut = tokio::time::timeout(Duration::from_millis(300), running).await;
        assert!(cut.is_err(), "it runs for long");
        eventually("nobody", || called("sleep 1001.4").is_empty().then_some(()));
    });
}

#[test]
fn a_detached_child_goes_on_in_a_session_of_its_own() {
    runtime().block_on(async {
        let child = Command::new("sleep").arg("1001.5").detached().spawn().expect("sleep");
        let pid = i32::try_from(child.id()).expect("a pid");
        drop(child);
        let process = proc::Process::look(pid).expect("it lives");
        assert_eq!(process.group, pid);
        cluster_tests::send_signal(pid, cluster_tests::Signal::KILL);
    });
}

#[test]
fn a_child_has_the_descriptors_that_were_named_and_no_others() {
    let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
    let (mut read, write) = (fs::File::from(pipe.0), pipe.1);
    // Under numbers that are in use here, crosswise.
    let other = fs::File::open("/dev/zero").expect("/dev/zero");
    let (first, second) = (write.as_raw_fd(), other.as_raw_fd());
    let line = format!(
        "ls /proc/$$/fd; echo hi >/proc/self/fd/{second}; head -c 1 /proc/self/fd/{first} | od -An -tx1"
    );
    let command = process::exec(line).fd(second, write).fd(first, other);
    let output = runtime().block_on(async { command.await.expect("an output") });
    let said = output.stdout_text().into_owned();
    let mut numbers: Vec<i32> = said.lines().filter_map(|line| line.parse().ok()).collect();
    numbers.retain(|number| *number != 10);
    let mut expected = vec![0, 1, 2, first, second];
    expected.sort_unstable();
    numbers.sort_unstable();
    // Dash may have one of its own for the moment, 10.
    assert_eq!(numbers, expected, "{said}");
    assert!(said.contains("00"), "{said}");
    let mut hi = [0; 3];
    read.read_exact(&mut hi).expect("what the child wrote");
    assert_eq!(&hi, b"hi\n");
}

#[test]
fn with_no_descriptor_left_a_spawn_is_an_error() {
    let program = Running::start(fixture!("processes"), &[], &[]);
    let Outcome::Answered(said) = get(program.address(), "/emfile") else { panic!("no answer") };
    assert_eq!(said, "Os 24, then true");
    program.stop();
}

/// Starts and awaits a thousand children, fifty at a time, in a worker or in the master.
fn thousand(place: &str) {
    let program = Running::start(fixture!("processes"), &[], &[("CLUSTER_WORKERS", "1")]);
    let address = program.address();
    let master = proc::Process::look(program.pid()).expect("it lives");
    let worker = program.worker(0);
    let ask = |path: &str| match get(address, path) {
        Outcome::Answered(body) => body,
        other => panic!("{path}: {other:?}"),
    };
    assert_eq!(ask(&format!("/many/{place}/50")), "50 of 50");
    let settled = || {
        eventually("no descriptor that is about to go", || {
            let before = (master.descriptors().len(), worker.descriptors().len());
            std::thread::sleep(Duration::from_millis(30));
            let now = (master.descriptors().len(), worker.descriptors().len());
            (before == now).then_some(now)
        })
    };
    let before = settled();
    assert_eq!(ask(&format!("/many/{place}/1000")), "1000 of 1000");
    assert_eq!(settled(), before);
    let zombies = |pid: i32| {
        let all = proc::of_group(program.pid());
        all.into_iter().filter(|p| p.parent == pid && p.state == 'Z').count()
    };
    assert_eq!((zombies(program.pid()), zombies(worker.pid)), (0, 0));
    program.stop();
}

#[test]
fn a_thousand_children_of_a_worker_leave_nothing() {
    thousand("worker");
}

#[test]
fn a_thousand_children_of_the_master_leave_nothing() {
    thousand("master");
}

/// What a shell says that it was born with, in a worker or in the master.
fn born(place: &str) {
    let variables = [("CLUSTER_WORKERS", "1"), ("CLUSTER_GRACE", "9s")];
    let program = Running::start(fixture!("processes"), &[], &variables);
    let Outcome::Answered(said) = get(program.address(), &format!("/born/{place}")) else {
        panic!("no answer")
    };
    assert!(!said.contains("CLUSTER_"), "{said}");
    let (own, _) = said.split_once("MARK").expect("the mark");
    let lines: Vec<&str> = own.lines().collect();
    assert!(lines.contains(&"SigBlk:\t0000000000000000"), "{said}");
    let ignored = lines.iter().find_map(|line| line.strip_prefix("SigIgn:\t")).expect("a set");
    // 32 and 33 are the C library's own, and stay as they were.
    let ignored = u64::from_str_radix(ignored, 16).expect("a set") & !(0b11 << 31);
    assert_eq!(ignored, 0, "{said}");
    // The limit that the test has, and not what the cluster has raised it to.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    assert!(lines.contains(&format!("nofile {limit}").as_str()), "{said}");
    program.stop();
}

#[test]
fn a_child_of_a_worker_is_born_normal() {
    born("worker");
}

#[test]
fn a_child_of_the_master_is_born_normal() {
    born("master");
}

#[test]
fn a_child_gets_its_descriptors_although_more_files_are_open_than_its_own_limit() {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -Sn 200 && exec \"$0\"", fixture!("processes")]);
    let program = Running::start_command(command);
    let answer = get(program.address(), "/crowded/300");
    assert_eq!(answer, Outcome::Answered("200".to_owned()));
    program.stop();
}
