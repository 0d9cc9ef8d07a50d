//! A system that refuses what the cluster would have: signals, processes, files. It goes without, or
//! waits, or says what is missing; and it can be stopped.

use std::{
    fs::File,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use cluster_tests::{
    Running, Signal,
    client::{Asked, Outcome, Tally, get},
    eventually, fixture, foreign,
    proc::Process,
    send_signal, skip,
};
use rustix::process::geteuid;

/// The program under this setting of the shell's `ulimit`.
fn limited(setting: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit {setting} && exec \"$0\""), fixture!("serve")]);
    command
}

fn replace(program: &Running, slot: usize) {
    let old = program.worker(slot).pid;
    send_signal(old, Signal::KILL);
    eventually("another worker", || Some(()).filter(|()| program.worker(slot).pid != old));
}

#[test]
fn started_with_every_signal_blocked_it_takes_orders_and_stops() {
    let mut command = Command::new("env");
    command.args(["--block-signal", fixture!("steered")]);
    let program = Running::start_command(command);
    program.wait_for_workers(2);
    replace(&program, 1);
    program.signal(Signal::HUP);
    program.line("reload to generation 2 finished");
    program.signal(Signal::USR1);
    program.line("generation 2, 2 slots");
    program.stop();
}

/// As where a container's filter of system calls knows pidfd_open(2) and not pidfd_send_signal(2).
#[test]
fn where_a_pidfd_takes_no_signal_workers_and_zygotes_are_killed_all_the_same() {
    let injection = "inject=pidfd_send_signal:error=EPERM";
    // The program keeps its pid, and is the tracer's parent.
    let tracer = ["-D", "-f", "-qq", "-o", "/dev/null", "-e", injection];
    let works = Command::new("strace").args(tracer).arg("true").stderr(Stdio::null()).status();
    if !works.is_ok_and(|status| status.success()) {
        return skip("signals by pidfd are refused: no strace that may trace");
    }
    let mut command = Command::new("strace");
    command.args(tracer).arg(fixture!("serve")).env("CLUSTER_GRACE", "1s");
    let program = Running::start_command(command);
    program.wait_for_workers(2);
    assert!(matches!(get(program.address(), "/"), Outcome::Answered(_)));
    // It is past its grace, and the zygote ends by a signal alone.
    let stopped = program.worker(0).pid;
    send_signal(stopped, Signal::STOP);
    program.stop();
}

#[test]
fn where_no_file_may_have_a_size_it_serves() {
    let program = Running::start_command(limited("-S -f 0"));
    program.wait_for_workers(2);
    let tally = Asked::start(program.address(), "/", 20).finish();
    assert_eq!(tally, Tally::of_answers(20));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.worker(0).pid));
    let limits = limits.expect("the worker lives");
    let of_files = limits.lines().find(|line| line.starts_with("Max file size"));
    let of_files = of_files.expect("a line for each limit");
    assert!(of_files.split_ascii_whitespace().nth(3) == Some("0"), "{of_files}");
    program.stop();
}

#[test]
fn a_limit_of_file_sizes_that_cannot_be_raised_is_named() {
    let mut command = limited("-f 0");
    if geteuid().is_root() {
        command.uid(64_011).gid(64_011);
    }
    let mut program = Running::start_command(command);
    let code = program.exit_code();
    if code != 71 {
        return skip("a limit of file sizes that stays: this user may raise it");
    }
    program.line("LimitFSIZE");
}

/// The file takes a few lines, and then no more.
#[test]
fn a_log_that_has_reached_the_limit_of_file_sizes_stops_nothing() {
    let path = std::env::temp_dir().join(format!("cluster-test-log-{}", std::process::id()));
    let log = File::create(&path).expect("a temporary file");
    let mut command = limited("-S -f 1");
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let program = Running::start_as_is(command);
    let listening = || foreign::listening_on(&Process::look(program.pid())?).pop();
    let address = eventually("a listening socket", listening);
    for round in 0..30 {
        program.wait_for_workers(2);
        replace(&program, round % 2);
        let tally = Asked::start(address, "/", 10).finish();
        assert_eq!(tally, Tally::of_answers(10), "{round}");
    }
    let bytes = std::fs::metadata(&path).expect("our file").len();
    let _ = std::fs::remove_file(&path);
    assert!((512..=1024).contains(&bytes), "it is full: {bytes}");
    program.stop();
}

/// The zygote and all workers die at a moment when the kernel makes no process.
#[test]
fn while_no_process_can_be_made_the_master_waits_and_then_serves_on() {
    const USER: u32 = 64_012;
    let is_root = geteuid().is_root();
    let as_user = |command: &mut Command| {
        if is_root {
            command.uid(USER).gid(USER);
        }
    };
    let mut command = Command::new(fixture!("serve"));
    as_user(&mut command);
    let program = Running::start_command(command);
    let address = program.address();
    program.wait_for_workers(2);
    let set_limit = |limit: &str| {
        let mut command = Command::new("prlimit");
        command.args(["--pid", &program.pid().to_string(), &format!("--nproc={limit}:")]);
        as_user(&mut command);
        command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if !set_limit("1") {
        return skip("no process can be made: no prlimit");
    }
    let gone = program.workers().into_iter().chain(program.zygote());
    gone.for_each(|process| send_signal(process.pid, Signal::KILL));
    // More often than failed starts are put up with.
    program.lines("start of zygote 1: fork: Resource temporarily unavailable", 6);
    let waiting = Asked::start(address, "/", 10);
    assert!(set_limit("4000"));
    assert_eq!(waiting.finish(), Tally::of_answers(10), "{:#?}", program.output());
    program.wait_for_workers(2);
    program.stop();
}
