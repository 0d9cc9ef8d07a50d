//! What Node's own tests of listening in a cluster expect, where no other test says it already.
//!
//! | Node's test | here |
//! |---|---|
//! | accept-fail | `limits::` |
//! | bind-privileged-port, eaddrinuse, eaccess | `listeners::`, `endpoints::` |
//! | bind-twice, net-server-drop-connection, http-server-drop-connections-in-cluster | `schedules::` |
//! | child-index-net, child-index-dgram, dgram-close-during-bind | `overlapping_binds_..`, `binds_given_up_..` |
//! | dgram-1, dgram-ipv6only, http-pipe, listen-pipe-readable-writable, net-listen-relative-path, net-listen-backlog, net-listen-ipv6only-\*, net-reuseport, dgram-reuseport, dgram-bind-fd, listen-fd-cluster, disconnect-unshared-\* | `endpoints::` |
//! | listening-port, net-listen, server-restart-rr, port-reuse-between-workers, worker-handle-close | `listeners::` |
//! | net-send, net-listen-handle-in-cluster-\* | `messages_fd::` |
//! | worker-no-exit, worker-wait-server-close | `drain::` |
//! | the others named below | below |

use std::{
    collections::{BTreeMap, BTreeSet},
    net::UdpSocket,
    time::Duration,
};

use cluster_tests::{
    Running, Signal, client,
    client::{Outcome, get},
    eventually, fixture,
    proc::Process,
};

const TWO: [(&str, &str); 1] = [("CLUSTER_WORKERS", "2")];

/// shared-handle-bind-error, shared-handle-bind-privileged-port: the error is the same where workers
/// accept by themselves.
#[test]
fn a_bind_error_is_the_same_under_every_schedule() {
    let foreign = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = foreign.local_addr().expect("bound").to_string();
    for schedule in ["shared", "kernel"] {
        let variables = [("CLUSTER_SCHEDULE", schedule)];
        let program = Running::start(fixture!("binds"), &["errors", &taken], &variables);
        for line in program.lines(&format!("bind {taken}: "), 2) {
            assert!(line.contains("AddrInUse"), "{schedule}: {line}");
        }
        program.stop();
    }
}

/// server-restart-none: as with round robin.
#[test]
fn a_listener_is_bound_anew_while_a_sibling_holds_it_under_every_schedule() {
    for schedule in ["shared", "kernel"] {
        let variables = [("CLUSTER_SCHEDULE", schedule)];
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let program =
            Running::start(fixture!("binds"), &["rebind", &address.to_string()], &variables);
        program.wait_for_workers(2);
        let worker = program.worker(0);
        for round in 1..=5 {
            cluster_tests::send_signal(worker.pid, Signal::USR1);
            let again = program.lines("again: ", round).remove(round - 1);
            assert!(again.contains("AddrInUse"), "{again}");
            program.lines("rebound", round);
            assert!(matches!(get(address, "/"), Outcome::Answered(_)), "{schedule}");
        }
        program.stop();
    }
}

/// How many descriptors the master has once those of what was dropped are closed.
fn settled(program: &Running, expected: usize) {
    let count = || Process::look(program.pid()).expect("the master lives").descriptors().len();
    eventually(&format!("{expected} descriptors, not {}", count()), || {
        (count() <= expected).then_some(())
    });
}

/// child-index-net, child-index-dgram.
#[test]
fn overlapping_binds_of_port_0_leave_nothing_behind() {
    let plain = Running::start(fixture!("binds"), &["several", "127.0.0.1:0"], &TWO);
    plain.lines(" listener 0: ", 2);
    let usual = Process::look(plain.pid()).expect("the master lives").descriptors().len();
    plain.stop();
    for mode in ["churn", "abandon"] {
        let program = Running::start(fixture!("binds"), &[mode], &TWO);
        program.lines(&format!("{mode}ed"), 2);
        let mut seen = BTreeSet::new();
        let line = program.line(" listener 0: ");
        let address = line.rsplit_once(' ').expect("an address").1.parse().expect("an address");
        eventually("answers of both", || {
            if let Outcome::Answered(body) = get(address, "/") {
                seen.insert(body);
            }
            (seen.len() == 2).then_some(())
        });
        if mode == "churn" {
            settled(&program, usual);
        }
        program.stop();
    }
}

/// dgram-2: each worker sends from a port of its own choosing.
#[test]
fn workers_send_datagrams_from_sockets_of_port_0() {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a port");
    receiver.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let to = receiver.local_addr().expect("bound").to_string();
    let variables = [("CLUSTER_WORKERS", "4")];
    let program = Running::start(fixture!("binds"), &["datagrams", &to], &variables);
    let mut from: BTreeMap<u8, usize> = BTreeMap::new();
    for _ in 0..40 {
        let mut datagram = [0; 16];
        receiver.recv(&mut datagram).expect("a datagram");
        *from.entry(datagram[0]).or_default() += 1;
    }
    assert_eq!(from, (0..4).map(|slot| (b'0' + slot, 10)).collect());
    program.stop();
}

/// dgram-reuse.
#[test]
fn one_worker_binds_a_udp_address_twice_if_it_says_so() {
    let program = Running::start(fixture!("binds"), &["reuse"], &TWO);
    program.lines("both", 2);
    program.stop();
}

/// disconnect: eight workers with two listeners of port 0 have two ports, and again after a reload.
#[test]
fn eight_workers_with_two_listeners_have_two_ports() {
    let variables = [("CLUSTER_WORKERS", "8")];
    let arguments = ["several", "127.0.0.1:0", "127.0.0.1:0"];
    let program = Running::start(fixture!("binds"), &arguments, &variables);
    let ports = |lines: Vec<String>| -> BTreeSet<String> {
        lines.iter().map(|line| line.rsplit_once(": ").expect("an address").1.to_owned()).collect()
    };
    let first = ports(program.lines(" listener ", 16));
    assert_eq!(first.len(), 2, "{first:?}");
    program.signal(Signal::HUP);
    program.line("generation 2 finished");
    assert_eq!(ports(program.lines(" listener ", 32)), first);
    program.stop();
}

/// disconnect-leak, shared-leak: a stop while workers ask, and with a connection alive.
#[test]
fn a_stop_during_binds_and_with_a_connection_alive_ends_well() {
    let program = Running::start(fixture!("binds"), &["churn"], &TWO);
    program.worker(0);
    program.stop();
    let program = Running::start(fixture!("serve"), &[], &TWO);
    let alive = client::connect(program.address());
    program.signal(Signal::TERM);
    program.line("stopping");
    drop(alive);
    program.stop();
}
