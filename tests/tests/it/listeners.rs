//! What workers bind, and how they accept from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    process::Command,
    time::Duration,
};

use cluster_tests::{
    Running, Signal,
    client::{self, Load, Outcome, get},
    eventually, eventually_is, fixture, freeze, send_signal,
};

/// An address that nothing else uses: of this process's own, with a port that was free in it.
fn own_address(host: u8) -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    let listener =
        TcpListener::bind((Ipv4Addr::new(127, high, low, host), 0)).expect("a loopback address");
    listener.local_addr().expect("bound")
}

fn answered(address: SocketAddr) -> String {
    match get(address, "/") {
        Outcome::Answered(body) => body,
        other => panic!("{other:?}"),
    }
}

/// Asks until every one of `bodies` was answered, and nothing else.
fn answered_by_all(address: SocketAddr, bodies: [String; 2]) {
    let mut answers = BTreeSet::new();
    eventually_is(&BTreeSet::from(bodies), || {
        answers.insert(answered(address));
        answers.clone()
    });
}

#[test]
fn a_bind_error_reaches_every_worker_that_asked() {
    let foreign = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = foreign.local_addr().expect("bound").to_string();
    let program = Running::start(fixture!("binds"), &["errors", &taken, "203.0.113.1:0"], &[]);
    for line in program.lines(&format!("bind {taken}: "), 2) {
        assert!(line.contains("AddrInUse"), "{line}");
        assert!(line.contains("another program listens there"), "{line}");
    }
    for line in program.lines("bind 203.0.113.1:0: ", 2) {
        assert!(line.contains("AddrNotAvailable"), "{line}");
    }
    program.stop();
}

#[test]
fn a_name_without_an_address_is_an_error_that_says_so() {
    let names = ["no-such-host.invalid:80", "localhost"];
    let one = [("CLUSTER_WORKERS", "1")];
    let program = Running::start(fixture!("binds"), &["unresolved", names[0], names[1]], &one);
    for face in ["tcp", "udp", "blocking"] {
        let line = program.line(&format!("{face}: Uncategorized (bind the address: "));
        // Whether it is unknown or nobody can be asked depends on where this runs.
        assert!(line.contains(": failed to lookup address information: "), "{line}");
        assert!(line.ends_with(
            " (is the name right, and known here? See /etc/hosts and /etc/resolv.conf))"
        ));
        let line =
            format!("{face}: InvalidInput (bind the address: invalid socket address (an address");
        program.line(&line);
    }
    program.stop();
}

/// An address that means nothing without the number of its interface.
#[test]
fn a_link_local_address_keeps_its_scope() {
    let interfaces = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    // Address, interface, length of the prefix, scope (20 is the link), flags (40 is not usable yet), name.
    let usable = |line: &&str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        words[0].starts_with("fe80") && words[3] == "20" && words[4] == "80"
    };
    let Some(line) = interfaces.lines().find(usable) else { return };
    let (digits, rest) = line.split_once(' ').expect("words");
    let ip = Ipv6Addr::from(u128::from_str_radix(digits, 16).expect("32 digits"));
    let interface = u32::from_str_radix(&rest[..2], 16).expect("2 digits");
    let address = format!("[{ip}%{interface}]:0");
    let program = Running::start(fixture!("serve"), &[&address], &[]);
    answered_by_all(program.address(), ["worker 0".to_owned(), "worker 1".to_owned()]);
    program.stop();
}

/// The sysctl that lets anybody have such ports is per network namespace.
#[test]
fn a_port_that_takes_a_privilege_is_permission_denied() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.is_ok_and(|first| first.trim().parse().is_ok_and(|first: u16| first <= 80)) {
        return;
    }
    let mut command = Command::new(fixture!("binds"));
    command.args(["errors", "127.0.0.1:80"]);
    if rustix::process::geteuid().is_root() {
        std::os::unix::process::CommandExt::uid(&mut command, 64_005);
    }
    let program = Running::start_command(command);
    for line in program.lines("bind 127.0.0.1:80: ", 2) {
        assert!(line.contains("PermissionDenied"), "{line}");
        assert!(line.contains("CAP_NET_BIND_SERVICE"), "{line}");
    }
    program.stop();
}

#[test]
fn a_bind_works_when_the_port_has_become_free() {
    let address = own_address(1);
    let foreign = TcpListener::bind(address).expect("free");
    let program = Running::start(fixture!("binds"), &["retry", &address.to_string()], &[]);
    assert!(program.line("bind ").contains("AddrInUse"));
    drop(foreign);
    assert_eq!(program.address(), address);
    assert!(answered(address).ends_with("listener 0"));
    program.stop();
}

/// The addresses that every worker said, by listener; the same in all of them.
fn addresses(program: &Running, workers: usize, listeners: usize) -> BTreeMap<usize, SocketAddr> {
    let mut said = BTreeMap::<usize, BTreeSet<SocketAddr>>::new();
    for line in program.lines(" listener ", workers * listeners) {
        let (number, address) = line
            .split_once("listener ")
            .expect("asked for")
            .1
            .split_once(": ")
            .expect("a number and an address");
        let address = address.parse().expect("an address");
        said.entry(number.parse().expect("a number")).or_default().insert(address);
    }
    let one = |(number, addresses): (usize, BTreeSet<SocketAddr>)| {
        assert_eq!(addresses.len(), 1, "listener {number}: {addresses:?}");
        (number, *addresses.first().expect("one"))
    };
    said.into_iter().map(one).collect()
}

#[test]
fn several_listeners_of_port_0_are_the_same_in_every_worker() {
    let arguments = ["several", "127.0.0.1:0", "127.0.0.1:0", "[::1]:0"];
    let program = Running::start(fixture!("binds"), &arguments, &[]);
    let addresses = addresses(&program, 2, 3);
    assert_eq!(addresses.values().collect::<BTreeSet<_>>().len(), 3, "{addresses:?}");
    assert!(addresses[&2].is_ipv6());
    for (number, address) in addresses {
        answered_by_all(address, [0, 1].map(|slot| format!("slot {slot} listener {number}")));
    }
    program.stop();
}

#[test]
fn binds_of_port_0_at_once_are_different_ports() {
    let arguments = ["together", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"];
    let program = Running::start(fixture!("binds"), &arguments, &[("CLUSTER_WORKERS", "1")]);
    let addresses = addresses(&program, 1, 3);
    assert_eq!(addresses.values().collect::<BTreeSet<_>>().len(), 3, "{addresses:?}");
    program.stop();
}

#[test]
fn a_listener_is_bound_once_in_a_worker_and_anew_after_its_drop() {
    const ROUNDS: usize = 20;
    let address = own_address(2);
    let program = Running::start(fixture!("binds"), &["rebind", &address.to_string()], &[]);
    assert_eq!(program.address(), address);
    program.wait_for_workers(2);
    let load = Load::start(address, "/", 2, Duration::from_millis(1));
    let worker = program.worker(0);
    for round in 1..=ROUNDS {
        send_signal(worker.pid, Signal::USR1);
        let again = program.lines("again: ", round).remove(round - 1);
        assert!(again.contains("AddrInUse"), "{again}");
        program.lines("rebound", round);
    }
    let tally = load.stop();
    assert_eq!(tally.answered, tally.total(), "{tally:?}");
    answered_by_all(address, [0, 1].map(|slot| format!("slot {slot} listener 0")));
    assert_eq!(program.worker(0).pid, worker.pid);
    program.stop();
}

/// Twenty connections, each answered with its own address; returns how many each slot answered.
fn answers_name_the_peer(address: SocketAddr) -> [usize; 2] {
    let mut counts = [0; 2];
    for _ in 0..20 {
        let mut stream = client::connect(address);
        let peer = stream.local_addr().expect("connected");
        client::send_request(&mut stream, "/").expect("a request is sent");
        let answer = client::read_answer(&mut stream).expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        let (_, body) = answer.rsplit_once("slot ").expect("a slot");
        let (slot, said) = body.split_once(" peer ").expect("a peer");
        assert_eq!(said.trim(), peer.to_string());
        counts[slot.parse::<usize>().expect("a slot")] += 1;
    }
    counts
}

fn both_answer(address: SocketAddr) {
    let mut seen = [0; 2];
    eventually("answers of both workers", || {
        let counts = answers_name_the_peer(address);
        seen = [seen[0] + counts[0], seen[1] + counts[1]];
        (!seen.contains(&0)).then_some(())
    });
}

fn accepts_by(arguments: &[&str], variables: &[(&str, &str)]) {
    let program = Running::start(fixture!("streams"), arguments, variables);
    both_answer(program.address());
    program.stop();
}

#[test]
fn accept_names_the_peer() {
    accepts_by(&["plain"], &[]);
}

#[test]
fn accept_names_the_peer_of_ipv6() {
    accepts_by(&["plain", "[::1]:0"], &[]);
}

#[test]
fn poll_accept_is_accept() {
    accepts_by(&["poll"], &[]);
}

#[test]
fn a_connection_can_be_taken_apart() {
    for mode in ["split", "reunite", "parts"] {
        accepts_by(&[mode], &[]);
    }
}

#[test]
fn axum_knows_the_peer() {
    accepts_by(&["axum"], &[]);
}

#[test]
fn every_flavor_accepts() {
    for flavor in ["current_thread", "local", "multi_thread"] {
        for mode in ["plain", "poll", "incoming"] {
            accepts_by(&[mode], &[("CLUSTER_FLAVOR", flavor), ("CLUSTER_LOG", "info")]);
        }
    }
}

#[test]
fn incoming_ends_at_the_drain() {
    let program = Running::start(fixture!("streams"), &["incoming"], &[]);
    both_answer(program.address());
    program.wait_for_workers(2);
    program.signal(Signal::TERM);
    program.lines("incoming ended", 2);
    program.stop();
}

#[test]
fn the_socket_itself_accepts_in_every_worker() {
    let program = Running::start(fixture!("streams"), &["std"], &[]);
    let address = program.address();
    answers_name_the_peer(address);
    for slot in [0, 1] {
        // Only the other is left to answer.
        let stopped = program.worker(slot);
        freeze(&stopped);
        let counts = answers_name_the_peer(address);
        assert_eq!(counts[slot], 0, "{counts:?}");
        send_signal(stopped.pid, Signal::CONT);
    }
    program.stop();
}

/// Whether a socket blocks is common to all its copies; the master must not come to wait in `accept`.
#[test]
fn a_worker_that_makes_the_socket_blocking_does_not_block_the_master() {
    let variables = [("CLUSTER_GRACE", "1h")];
    let program = Running::start(fixture!("streams"), &["blocking"], &variables);
    let address = program.address();
    program.line("slot 0 blocks");
    program.wait_for_workers(2);
    for _ in 0..5 {
        answers_name_the_peer(address);
    }
    program.stop();
}
