//! Hang detection: spinning and blocked workers are replaced, others are left alone.

use std::{
    net::SocketAddr,
    thread::{self, JoinHandle},
    time::Duration,
};

use cluster_tests::{
    Running, Signal,
    client::{Load, Outcome, get},
    eventually, fixture, freeze, send_signal,
};

/// Asks for what never comes; the answer is the end of the worker.
fn provoke(address: SocketAddr, path: &'static str) -> JoinHandle<Outcome> {
    thread::spawn(move || get(address, path))
}

fn is_replaced_and_others_answer(path: &'static str) {
    let program = Running::start(fixture!("steered"), &[], &[("CLUSTER_HANG_TIMEOUT", "1s")]);
    let address = program.address();
    program.wait_for_workers(2);
    let before: Vec<i32> = (0..2).map(|slot| program.worker(slot).pid).collect();
    let provoked = provoke(address, path);
    // Meanwhile, what waits for it is answered by the other.
    let load = Load::start(address, "/", 4, Duration::from_millis(5));
    let line = program.line(") hangs: no heartbeat for 1s (hang_timeout)");
    let slot: usize = line["cluster: slot ".len()..]
        .split(' ')
        .next()
        .expect("a slot")
        .parse()
        .expect("a number");
    eventually("its replacement", || (program.worker(slot).pid != before[slot]).then_some(()));
    assert_eq!(program.worker(1 - slot).pid, before[1 - slot]);
    program.line("exited: hung");
    assert_ne!(provoked.join().expect("a client"), Outcome::Hung);
    let (tally, (_, lost)) = (load.stop(), program.exits());
    // Besides the provocation, what the worker had accepted just before.
    assert_eq!((tally.refused, tally.hung), (0, 0), "{tally:?}");
    assert!(tally.answered > 0 && tally.reset + tally.empty < lost, "{tally:?}, {lost} lost");
    program.stop();
}

#[test]
fn a_spinning_worker_is_replaced() {
    is_replaced_and_others_answer("/spin");
}

#[test]
fn a_blocked_worker_is_replaced() {
    is_replaced_and_others_answer("/sleep");
}

/// The workers that live are those that lived before.
fn nobody_hung(program: &Running, before: &[i32]) {
    let now: Vec<i32> = (0..2).map(|slot| program.worker(slot).pid).collect();
    assert_eq!(now, before, "{:#?}", program.output());
    assert!(!program.output().iter().any(|line| line.contains("hangs")));
}

// As a laptop that sleeps, or a virtual machine that is moved.
#[test]
fn a_cluster_that_was_suspended_has_no_hung_worker() {
    let program = Running::start(fixture!("steered"), &[], &[("CLUSTER_HANG_TIMEOUT", "500ms")]);
    let address = program.address();
    program.wait_for_workers(2);
    let before: Vec<i32> = (0..2).map(|slot| program.worker(slot).pid).collect();
    for _ in 0..3 {
        let processes = program.processes();
        for process in &processes {
            freeze(process);
        }
        // Longer than `hang_timeout`; nothing can happen meanwhile that could be waited for.
        thread::sleep(Duration::from_millis(1500));
        for process in &processes {
            send_signal(process.pid, Signal::CONT);
        }
        assert!(matches!(get(address, "/"), Outcome::Answered(_)));
    }
    nobody_hung(&program, &before);
    program.stop();
}

// Twenty processes that want the two processors all the time.
#[test]
fn a_busy_machine_has_no_hung_worker() {
    let spin = "while :; do :; done";
    let mut busy: Vec<_> = (0..20)
        .map(|_| std::process::Command::new("sh").args(["-c", spin]).spawn().expect("a shell"))
        .collect();
    let program = Running::start(fixture!("steered"), &[], &[("CLUSTER_HANG_TIMEOUT", "500ms")]);
    let address = program.address();
    program.wait_for_workers(2);
    let before: Vec<i32> = (0..2).map(|slot| program.worker(slot).pid).collect();
    for _ in 0..20 {
        assert!(matches!(get(address, "/slow"), Outcome::Answered(_)));
    }
    for process in &mut busy {
        process.kill().expect("our child");
        process.wait().expect("our child");
    }
    nobody_hung(&program, &before);
    program.stop();
}
