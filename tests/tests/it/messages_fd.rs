//! Descriptors that travel with messages: they arrive, work, and leave none behind, whatever goes wrong.

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
};

use cluster_tests::{
    Running, Signal, eventually, eventually_is, fixture, foreign, freeze, proc::Process,
    send_signal,
};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::{Pid, Resource, Rlimit, geteuid, getrlimit, prlimit},
};

/// The most descriptors that wait in one place, and the few that are being looked at.
const WAITING_MAX: usize = 64 + 4;

fn scene(name: &str, count: u64) -> Running {
    Running::start(fixture!("moves"), &[name, &count.to_string()], &[])
}

/// Lets slot 0 begin to send to slot 1.
fn begin(program: &Running) {
    program.line("waiting for USR1");
    program.signal(Signal::USR1);
}

fn master(program: &Running) -> Process {
    Process::look(program.pid()).expect("the master lives")
}

/// How many of the descriptors that are moved the process has.
fn moved_in(process: &Process) -> usize {
    let targets = process.descriptors().into_values();
    targets.filter(|target| target.to_string_lossy().contains("memfd:moved")).count()
}

/// How many came, were lost and were missed.
fn tally(line: &str) -> [u64; 3] {
    let words: Vec<&str> = line.split(' ').collect();
    [0, 2, 4].map(|at| words[at].parse().expect("a number"))
}

#[test]
fn sockets_listeners_and_files_move_in_every_direction() {
    let program = scene("kinds", 0);
    program.line("all kinds are moved");
    for (way, to) in [
        ("master to worker", "slot 0"),
        ("worker to master", "the master"),
        ("worker to worker", "slot 1"),
    ] {
        program.line(&format!("{way}, a stream: it came to {to}"));
        program.line(&format!("{way}, a listener: it came to {to}"));
        program.line(&format!("{way}, a file that says {way:?} came to {to}"));
    }
    program.stop();
}

#[test]
fn a_thousand_moves_leave_no_descriptor_behind() {
    for name in ["move", "from_master"] {
        let program = scene(name, 1000);
        begin(&program);
        program.line("1000 came, 0 lost, 0 missed");
        for process in [master(&program), program.worker(0), program.worker(1)] {
            eventually_is(&0, || moved_in(&process));
        }
        program.stop();
    }
}

#[test]
fn each_of_two_mailboxes_has_a_descriptor() {
    let program = scene("two", 20);
    begin(&program);
    program.lines("20 came, 0 lost, 0 missed", 2);
    eventually_is(&0, || moved_in(&program.worker(1)));
    program.stop();
}

#[test]
fn what_nobody_has_subscribed_to_is_kept_up_to_the_bound() {
    let program = scene("late", 500);
    begin(&program);
    program.line("all is kept");
    let receiver = program.worker(1);
    let kept = moved_in(&receiver);
    assert!((1..=WAITING_MAX).contains(&kept), "{kept} descriptors are kept");
    program.lines("waiting for USR1", 2);
    send_signal(receiver.pid, Signal::USR1);
    let [came, lost, missed] = tally(&program.line(" came, "));
    assert_eq!((came, lost, came + missed), (kept as u64, 0, 500));
    eventually_is(&0, || moved_in(&receiver));
    program.stop();
}

/// Lets slot 0 send to slot 1, which is stopped; returns it.
fn send_to_a_stopped_worker(program: &Running) -> Process {
    program.line("waiting for USR1");
    let receiver = program.worker(1);
    freeze(&receiver);
    program.signal(Signal::USR1);
    let master = master(program);
    eventually("the end of sending", || {
        let waiting = moved_in(&master);
        assert!(waiting <= WAITING_MAX, "{waiting} descriptors wait in the master");
        program.output().iter().any(|line| line == "all is sent").then_some(())
    });
    receiver
}

#[test]
fn a_stopped_receiver_lags_and_is_told_how_many_it_misses() {
    let program = scene("move", 2000);
    let receiver = send_to_a_stopped_worker(&program);
    send_signal(receiver.pid, Signal::CONT);
    let [came, lost, missed] = tally(&program.line(" came, "));
    assert!(came > 0 && missed > 0, "{came} came, {missed} missed");
    assert_eq!((lost, came + missed), (0, 2000));
    eventually_is(&0, || moved_in(&master(&program)));
    program.stop();
}

#[test]
fn what_waits_for_a_receiver_is_closed_when_it_dies() {
    let program = scene("move", 500);
    let receiver = send_to_a_stopped_worker(&program);
    // More than the receiver's socket holds; but some may be on their way to the master yet.
    eventually("some wait in the master", || (moved_in(&master(&program)) > 0).then_some(()));
    send_signal(receiver.pid, Signal::KILL);
    eventually_is(&0, || moved_in(&master(&program)));
    eventually_is(&0, || moved_in(&program.worker(0)));
    program.stop();
}

/// Lets the process open nothing more: it has the three that are allowed.
fn exhaust(process: &Process) {
    // The hard limit is inherited, and stays.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: Some(3), maximum };
    prlimit(Pid::from_raw(process.pid), Resource::Nofile, limit).expect("a lower limit");
}

#[test]
fn at_the_limit_of_open_files_the_receiver_is_told_and_nothing_else_happens() {
    for at_limit in ["receiver", "master"] {
        let program = scene("move", 10);
        program.line("waiting for USR1");
        exhaust(&match at_limit {
            "receiver" => program.worker(1),
            _ => master(&program),
        });
        program.signal(Signal::USR1);
        let [came, lost, missed] = tally(&program.line(" came, "));
        assert_eq!([came, lost, missed], [0, 10, 0], "{at_limit}");
        program.stop();
    }
}

/// The kernel counts descriptors on their way for each user, and lets those with privileges pass.
#[test]
fn too_many_on_their_way_are_told_to_the_receiver_and_hold_nobody_up() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 100 && exec \"$0\" move 500", fixture!("moves")]);
    if geteuid().is_root() {
        command.uid(54_321).gid(54_321);
    }
    let program = Running::start_command(command);
    let receiver = send_to_a_stopped_worker(&program);
    send_signal(receiver.pid, Signal::CONT);
    let [came, lost, missed] = tally(&program.line(" came, "));
    println!("{came} came, {lost} lost, {missed} missed");
    assert_eq!(came + lost + missed, 500);
    assert!(came > 50 && lost + missed > 0, "{came} came, {lost} lost, {missed} missed");
    eventually_is(&0, || moved_in(&master(&program)));
    program.stop();
}

/// Sends bytes on a stream socket, with as many descriptors.
fn send_with(socket: &OwnedFd, bytes: &[u8], fds: usize) {
    let file = memfd_create("moved", MemfdFlags::CLOEXEC).expect("a file");
    let fds = vec![file.as_fd(); fds];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    eventually("room on the lane", || {
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Ok(count) => (count == bytes.len()).then_some(()),
            Err(Errno::AGAIN) => None,
            Err(error) => panic!("{error}"),
        }
    });
}

#[test]
fn descriptors_that_no_message_expects_are_closed() {
    let program = Running::start(fixture!("serve"), &[], &[]);
    program.address();
    program.wait_for_workers(2);
    let (master, victim) = (master(&program), program.worker(1));
    let lane = eventually("the mail lane", || {
        let ready = foreign::queues_of(&victim, &master).len() == 1;
        ready.then(|| foreign::mail_of(&victim, &master))
    });
    // That worker 2 waits no longer for an answer to a request that it never sent.
    let mut frame = [0; 45];
    (frame[0], frame[4], frame[6], frame[7]) = (45, 4, 1, 2);
    for _ in 0..200 {
        send_with(&lane, &frame, 1);
        send_with(&lane, &frame, 8);
    }
    // The same, in pieces.
    for _ in 0..10 {
        for byte in frame {
            send_with(&lane, &[byte], 2);
            assert!(moved_in(&master) <= WAITING_MAX);
        }
    }
    eventually_is(&0, || moved_in(&master));
    assert_eq!(program.worker(1).pid, victim.pid, "{:#?}", program.output());
    program.stop();
}
