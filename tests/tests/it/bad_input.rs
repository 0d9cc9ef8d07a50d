//! A worker that misbehaves with the sockets it shares with the master ends, and nothing else happens.
//!
//! The test speaks in the worker's place, through copies of its descriptors. A link carries frames as
//! of protocol version 5: the number of the variant of `FromWorker`, then its fields (postcard). A worker
//! that never says hello is not here: none can be stopped at that moment from outside.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use cluster_tests::{
    DEADLINE, Running, Signal,
    client::{Asked, Load, Tally},
    eventually, fixture, foreign, freeze,
    proc::Process,
    send_signal,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{SendFlags, Shutdown, send, shutdown},
};

const HELLO: [u8; 2] = [0, 5];
const READY: [u8; 1] = [6];
/// 127.0.0.1:0, the first of that address, which every worker of `serve` has bound already.
const BIND_AGAIN: [u8; 41] = [
    2, 7, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1,
    0, 0, 1, 0, 0, 64, 0, 0, 0, 0, 0,
];

/// A program under load, one of whose workers is going to misbehave.
struct Scene {
    program: Running,
    load: Load,
    victim: Process,
    others: [i32; 2],
}

impl Scene {
    fn start() -> Self {
        let program = Running::start(fixture!("serve"), &[], &[("CLUSTER_WORKERS", "3")]);
        let address = program.address();
        let load = Load::start(address, "/", 2, Duration::from_millis(1));
        let victim = program.worker(1);
        let others = [program.worker(0).pid, program.worker(2).pid];
        eventually("the victim's handoff queue", || {
            (!foreign::queues_of(&victim, &Process::look(program.pid())?).is_empty()).then_some(())
        });
        Self { program, load, victim, others }
    }

    fn master(&self) -> Process {
        Process::look(self.program.pid()).expect("the master lives")
    }

    fn link(&self) -> OwnedFd {
        foreign::link_of(&self.victim, &self.master())
    }

    fn said(&self, text: &str) -> bool {
        self.program.output().iter().any(|line| line.contains(text))
    }

    /// Checks that the victim was replaced and that nobody else noticed.
    fn end(self, said: &str) {
        let Self { program, load, victim, others } = self;
        program.line(said);
        program.line(&format!("pid {}) exited:", victim.pid));
        let another = || Some(program.worker(1)).filter(|p| p.pid != victim.pid);
        eventually("another worker", another);
        Self::check(&program, load, others);
        program.stop();
    }

    fn check(program: &Running, load: Load, others: [i32; 2]) {
        let before = load.so_far().answered;
        eventually("more answers", || (load.so_far().answered > before + 100).then_some(()));
        let tally = load.stop();
        // Two clients, each of which may have been with the worker that was killed.
        assert!(tally.reset + tally.empty <= 2, "{tally:?} {:#?}", program.output());
        assert_eq!((tally.refused, tally.hung), (0, 0), "{tally:?}");
        assert!(tally.other.is_empty(), "{tally:?}");
        let still = [program.worker(0).pid, program.worker(2).pid];
        assert_eq!(still, others, "{:#?}", program.output());
    }
}

/// Sends a packet, waiting for room until `stop`; whether it was sent.
fn say(socket: &OwnedFd, packet: &[u8], stop: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + DEADLINE;
    while !stop() {
        assert!(Instant::now() < deadline, "no room on the socket");
        match send(socket, packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => return true,
            Err(Errno::AGAIN) => {
                let wait = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
                let _ = poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&wait));
            }
            Err(_) => return false,
        }
    }
    false
}

fn says(packet: &[u8], said: &str) {
    let scene = Scene::start();
    assert!(say(&scene.link(), packet, || false));
    scene.end(said);
}

#[test]
fn garbage_on_the_link_ends_the_worker() {
    says(&[0xff; 4], "is killed: garbage on the link: 4 bytes");
}

#[test]
fn half_a_frame_ends_the_worker() {
    says(&BIND_AGAIN[..6], "is killed: garbage on the link: 6 bytes");
}

#[test]
fn an_oversized_packet_ends_the_worker() {
    says(&[0; 70_000], "is killed: garbage on the link: a frame of more than 65536 bytes");
}

#[test]
fn a_second_hello_ends_the_worker() {
    says(&HELLO, "is killed: ");
}

fn says_on_its_mail_lane(bytes: &[u8], said: &str) {
    let scene = Scene::start();
    assert!(say(&foreign::mail_of(&scene.victim, &scene.master()), bytes, || false));
    scene.end(said);
}

#[test]
fn garbage_on_the_mail_lane_ends_the_worker() {
    says_on_its_mail_lane(
        &[0xff; 64],
        "is killed: garbage on its mail lane: a frame of 4294967295",
    );
}

/// A frame of kind 9 that is otherwise all right.
#[test]
fn an_unknown_frame_on_the_mail_lane_ends_the_worker() {
    let mut frame = [0; 45];
    (frame[0], frame[4]) = (45, 9);
    says_on_its_mail_lane(&frame, "is killed: garbage on its mail lane: a frame of kind 9");
}

#[test]
fn a_frame_in_anothers_name_ends_the_worker() {
    let mut frame = [0; 45];
    frame[0] = 45;
    says_on_its_mail_lane(&frame, "is killed: garbage on its mail lane: a frame in another's name");
}

#[test]
fn a_worker_whose_link_is_shut_down_ends() {
    let scene = Scene::start();
    shutdown(scene.link(), Shutdown::Both).expect("a link");
    scene.end("respawning");
}

#[test]
fn a_worker_that_only_listens_to_its_link_is_killed() {
    let scene = Scene::start();
    shutdown(scene.link(), Shutdown::Write).expect("a link");
    scene.end("is killed: it closed its link and did not end");
}

#[test]
fn a_stopped_worker_whose_link_is_shut_down_is_killed() {
    let scene = Scene::start();
    freeze(&scene.victim);
    shutdown(scene.link(), Shutdown::Both).expect("a link");
    scene.end("is killed: it closed its link and did not end");
}

#[test]
fn a_worker_that_shuts_its_handoff_queue_down_is_killed() {
    let scene = Scene::start();
    let queues = foreign::queues_of(&scene.victim, &scene.master());
    shutdown(&queues[0], Shutdown::Both).expect("a queue");
    scene.end("is killed: it shut down its handoff queue");
}

/// Without load, so that the queue is found broken only when the next worker has it.
#[test]
fn a_replacement_is_not_blamed_for_the_queue_that_its_predecessor_shut_down() {
    let program = Running::start(fixture!("serve"), &[], &[]);
    let address = program.address();
    program.wait_for_workers(2);
    assert_eq!(Asked::start(address, "/", 10).finish(), Tally::of_answers(10));
    let (victim, master) = (program.worker(1), Process::look(program.pid()).expect("alive"));
    for queue in foreign::queues_of(&victim, &master) {
        shutdown(queue, Shutdown::Both).expect("a queue");
    }
    send_signal(victim.pid, Signal::KILL);
    let another = || Some(program.worker(1)).filter(|p| p.pid != victim.pid);
    let another = eventually("another worker", another);
    for _ in 0..10 {
        assert_eq!(Asked::start(address, "/", 10).finish(), Tally::of_answers(10));
    }
    assert_eq!(program.worker(1).pid, another.pid, "{:#?}", program.output());
    program.stop();
}

#[test]
fn a_worker_that_does_not_read_its_link_is_killed() {
    const KILLED: &str = "is killed: it does not read its link";
    let scene = Scene::start();
    freeze(&scene.victim);
    let link = scene.link();
    while say(&link, &BIND_AGAIN, || scene.said(KILLED)) {}
    scene.end(KILLED);
}

/// A flood of frames that are all right is only slow: the others and the master's memory are not touched.
#[test]
fn a_flood_on_a_link_hurts_nobody() {
    const FRAMES: usize = 100_000;
    let scene = Scene::start();
    let link = scene.link();
    let memory = || scene.master().status("VmRSS").expect("the master lives");
    let before = kibibytes(&memory());
    for _ in 0..FRAMES {
        assert!(say(&link, &READY, || false));
    }
    let after = kibibytes(&memory());
    println!("{FRAMES} frames: the master's memory went from {before} to {after} KiB");
    assert!(after < before + 16 * 1024, "{before} KiB, then {after} KiB");
    let Scene { program, load, victim, others } = scene;
    Scene::check(&program, load, others);
    assert_eq!(program.worker(1).pid, victim.pid, "{:#?}", program.output());
    program.stop();
}

fn kibibytes(text: &str) -> u64 {
    text.trim_end_matches(" kB").parse().expect("a number of kB")
}
