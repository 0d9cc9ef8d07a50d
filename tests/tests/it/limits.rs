//! At the limits of descriptors, and with a standard error that takes nothing: the cluster serves on, and
//! what waits is served when there is room again.

use std::{
    net::{SocketAddr, TcpStream},
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Command, Stdio},
};

use cluster_tests::{
    Running, Signal,
    client::{self, Asked, Tally},
    eventually, fixture, foreign, freeze,
    proc::Process,
    send_signal, skip,
};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Resource, Rlimit, geteuid, getrlimit, prlimit},
};

/// A limit of open files that a few hundred connections reach.
const LIMIT: usize = 256;

/// The program under that limit, soft and hard, and without privileges if this process has any. Each
/// test has a user of its own, since the kernel counts descriptors in flight for each user.
fn limited(path: &str, user: u32, variables: &[(&str, &str)]) -> Running {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {LIMIT} && exec \"$0\"");
    command.args(["-c", &script, path]).envs(variables.iter().copied());
    if geteuid().is_root() {
        command.uid(user).gid(user);
    }
    Running::start_command(command)
}

fn all_answered(address: SocketAddr, count: usize) {
    let tally = Asked::start(address, "/", count).finish();
    assert_eq!(tally, Tally::of_answers(count as u64));
}

fn replace(program: &Running, slot: usize) {
    let old = program.worker(slot).pid;
    send_signal(old, Signal::KILL);
    eventually("another worker", || Some(()).filter(|()| program.worker(slot).pid != old));
}

/// The program with this standard error, and where it listens.
fn with_stderr(mut command: Command, stderr: impl Into<Stdio>) -> (Running, SocketAddr) {
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    let program = Running::start_as_is(command);
    let listening = || foreign::listening_on(&Process::look(program.pid())?).pop();
    let address = eventually("a listening socket", listening);
    (program, address)
}

fn serves_and_heals_and_stops(program: Running, address: SocketAddr) {
    program.wait_for_workers(2);
    for round in 0..20 {
        all_answered(address, 20);
        replace(&program, round % 2);
    }
    all_answered(address, 20);
    program.stop();
}

#[test]
fn a_closed_stderr_stops_nothing() {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" 2>&-", fixture!("serve")]);
    let (program, address) = with_stderr(command, Stdio::null());
    serves_and_heals_and_stops(program, address);
}

/// The pipe is full before the program starts, and nobody reads it.
#[test]
fn a_full_stderr_stops_nothing() {
    let (unread, stderr) = full_pipe();
    let (program, address) = with_stderr(Command::new(fixture!("serve")), stderr);
    serves_and_heals_and_stops(program, address);
    drop(unread);
}

/// What it does not take is on stderr, the first line and those that follow.
#[test]
fn a_tracing_subscriber_that_panics_silences_nothing() {
    let program = Running::start(fixture!("subscriber"), &[], &[]);
    program.address();
    program.wait_for_workers(2);
    for round in 1..=3 {
        replace(&program, 1);
        program.lines("exited: SIGKILL", round);
    }
    program.stop();
}

fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("a pipe");
    while rustix::io::write(&writer, &[b'x'; 4096]).is_ok() {}
    while rustix::io::write(&writer, b"x").is_ok() {}
    fcntl_setfl(&writer, OFlags::empty()).expect("blocking again");
    (reader, writer)
}

/// Idle connections fill both workers, both queues and part of the backlog.
#[test]
fn workers_full_of_connections_lose_nothing_that_waits() {
    let program = limited(fixture!("serve"), 64_001, &[]);
    let address = program.address();
    program.wait_for_workers(2);
    all_answered(address, 20);
    let idle: Vec<TcpStream> = (0..3 * LIMIT).map(|_| client::connect(address)).collect();
    for slot in [0, 1] {
        let full = || program.worker(slot).descriptors().len() >= LIMIT - 1;
        eventually("a full worker", || full().then_some(()));
    }
    let waiting = Asked::start(address, "/", 50);
    let master = program.pid();
    drop(idle);
    assert_eq!(waiting.finish(), Tally::of_answers(50), "{:#?}", program.output());
    replace(&program, 1);
    all_answered(address, 200);
    assert_eq!(program.pid(), master);
    program.stop();
}

#[test]
fn a_worker_without_descriptors_lets_connections_wait() {
    let program = limited(fixture!("hoard"), 64_002, &[("CLUSTER_WORKERS", "1")]);
    let address = program.address();
    let worker = program.worker(0);
    all_answered(address, 5);
    for _ in 0..3 {
        let rounds = program.output().iter().filter(|line| line.contains("hoards")).count();
        send_signal(worker.pid, Signal::USR1);
        program.lines("slot 0 hoards", rounds + 1);
        let waiting = Asked::start(address, "/", 100);
        send_signal(worker.pid, Signal::USR2);
        assert_eq!(waiting.finish(), Tally::of_answers(100), "{:#?}", program.output());
        program.lines("slot 0 released", rounds + 1);
    }
    assert_eq!(program.worker(0).pid, worker.pid);
    program.stop();
}

/// The answers come while the one worker has no descriptor, so they come from the other.
#[test]
fn a_worker_without_descriptors_is_stood_in_for() {
    let program = limited(fixture!("hoard"), 64_003, &[]);
    let address = program.address();
    program.wait_for_workers(2);
    all_answered(address, 5);
    let hoarder = program.worker(1);
    send_signal(hoarder.pid, Signal::USR1);
    program.line("slot 1 hoards");
    all_answered(address, 200);
    send_signal(hoarder.pid, Signal::USR2);
    program.line("slot 1 released");
    all_answered(address, 200);
    assert_eq!(program.worker(1).pid, hoarder.pid);
    program.stop();
}

/// The limit of the running master is lowered to the lowest number that is free in it.
#[test]
fn a_master_without_descriptors_lets_connections_wait() {
    let program = Running::start(fixture!("serve"), &[], &[]);
    let address = program.address();
    program.wait_for_workers(2);
    all_answered(address, 20);
    let master = Process::look(program.pid()).expect("the master lives");
    let open = master.descriptors();
    let lowest_free = (0..).find(|number| !open.contains_key(number)).expect("a number");
    let hard = getrlimit(Resource::Nofile).maximum;
    let lowered = Rlimit { current: u64::try_from(lowest_free).ok(), maximum: hard };
    let pid = Pid::from_raw(program.pid());
    let before = prlimit(pid, Resource::Nofile, lowered).expect("lowered");
    let waiting = Asked::start(address, "/", 100);
    program.line("connections wait in the kernel");
    // A death frees some numbers of the master's, and a spawn needs as many.
    send_signal(program.worker(1).pid, Signal::KILL);
    program.line("exited: SIGKILL");
    prlimit(pid, Resource::Nofile, before).expect("raised");
    assert_eq!(waiting.finish(), Tally::of_answers(100), "{:#?}", program.output());
    program.wait_for_workers(2);
    all_answered(address, 200);
    program.stop();
}

/// Six stopped workers have room for 384 connections, but the user may have 256 descriptors in flight.
#[test]
fn too_many_descriptors_in_flight_wait_and_the_remedy_is_said_once() {
    if !geteuid().is_root() {
        // The count is for all processes of the user, so only a user of its own tests it.
        return skip("descriptors in flight: only root can start a program as another user");
    }
    const REMEDY: &str = "too many descriptors in flight";
    let program = limited(fixture!("serve"), 64_004, &[("CLUSTER_WORKERS", "6")]);
    let address = program.address();
    program.wait_for_workers(6);
    all_answered(address, 60);
    for worker in program.workers() {
        freeze(&worker);
    }
    let waiting = Asked::start(address, "/", 500);
    program.line(REMEDY);
    for worker in program.workers() {
        send_signal(worker.pid, Signal::CONT);
    }
    assert_eq!(waiting.finish(), Tally::of_answers(500), "{:#?}", program.output());
    all_answered(address, 100);
    let said = program.output().iter().filter(|line| line.contains(REMEDY)).count();
    assert_eq!(said, 1, "{:#?}", program.output());
    program.stop();
}
