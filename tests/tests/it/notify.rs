//! A service manager is told by the protocol of systemd: ready, reloading, stopping, a status, signs of life.

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::Path,
};

use cluster_tests::{
    DEADLINE, Running, Signal,
    client::{Outcome, get},
    deploy::Deployed,
    fixture,
};

/// The manager's socket, and what came there.
struct Manager {
    socket: UnixDatagram,
    address: String,
    told: Vec<String>,
}

impl Manager {
    fn of(socket: UnixDatagram, address: String) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).expect("a time");
        Self { socket, address, told: Vec::new() }
    }

    fn abstract_one(name: &str) -> Self {
        let name = format!("cluster-test-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a short name");
        let socket = UnixDatagram::bind_addr(&address).expect("nobody else has it");
        Self::of(socket, format!("@{name}"))
    }

    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a new path");
        Self::of(socket, path.to_str().expect("an ASCII path").to_owned())
    }

    fn variable(&self) -> (&str, &str) {
        ("NOTIFY_SOCKET", &self.address)
    }

    /// The next message with `text`; others are passed over.
    fn wait(&mut self, text: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            let came = self.socket.recv(&mut bytes);
            let length = came.unwrap_or_else(|error| panic!("{text}: {error}: {:#?}", self.told));
            let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
            self.told.push(message.clone());
            if message.contains(text) {
                return message;
            }
        }
    }

    fn came(&self, text: &str) -> usize {
        self.told.iter().filter(|told| told.contains(text)).count()
    }
}

fn monotonic_usec() -> u64 {
    let now = fs::read_to_string("/proc/uptime").expect("/proc");
    let seconds = now.split(' ').next().and_then(|word| word.parse::<f64>().ok()).expect("seconds");
    // Of a hundredth of a second, and below what a clock that stands still during a suspend would say.
    ((seconds - 0.01).max(0.0) * 1e6) as u64
}

#[test]
fn ready_reloads_and_the_stop_are_told_in_their_order() {
    let mut manager = Manager::abstract_one("order");
    let deployed = Deployed::new(fixture!("rules"), "round-robin", "serve");
    let mut program = deployed.start(&[manager.variable()]);
    manager.wait("READY=1");
    manager.wait("STATUS=2 of 2 workers ready, generation 1");
    assert_eq!(manager.came("RELOADING"), 0);
    for worker in program.workers() {
        let environ = fs::read(format!("/proc/{}/environ", worker.pid)).expect("it lives");
        assert!(
            !String::from_utf8_lossy(&environ).contains("NOTIFY_SOCKET"),
            "for the master alone"
        );
    }

    let before = monotonic_usec();
    program.signal(Signal::HUP);
    let text = manager.wait("RELOADING=1");
    let usec = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("both in one");
    assert!(usec.parse::<u64>().expect("a number") >= before, "{usec}, and it was {before}");
    manager.wait("READY=1");
    manager.wait("STATUS=2 of 2 workers ready, generation 2");

    deployed.install("/bin/false", "", 0o755);
    program.signal(Signal::HUP);
    manager.wait("RELOADING=1");
    manager.wait("READY=1");
    let status = manager.wait("ready, generation 2; reload to generation 3 failed: ");
    assert!(status.contains("code 1 before it reached the cluster"), "{status}");
    assert!(status.starts_with("STATUS=2 of 2 workers"), "{status}");

    program.signal(Signal::TERM);
    manager.wait("STOPPING=1");
    assert_eq!(program.exit_code(), 0);
}

#[test]
fn what_is_ready_answers_and_a_crash_is_in_the_status() {
    let directory = std::env::temp_dir().join(format!("cluster-notify-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a temporary directory");
    let mut manager = Manager::at(&directory.join("socket"));
    let variables = [manager.variable(), ("CLUSTER_WORKERS", "1"), ("CLUSTER_BACKOFF", "1h..1h")];
    let program = Running::start(fixture!("serve"), &[], &variables);
    manager.wait("READY=1");
    assert!(matches!(get(program.address(), "/"), Outcome::Answered(_)));
    cluster_tests::send_signal(program.worker(0).pid, Signal::KILL);
    manager.wait("STATUS=0 of 1 workers ready, generation 1");
    manager.wait("STATUS=1 of 1 workers ready, generation 1");
    assert_eq!(manager.came("READY=1"), 1, "a worker's death is no matter of the service's");
    program.stop();
    fs::remove_dir_all(&directory).expect("ours");
}

#[test]
fn signs_of_life_come_until_the_end() {
    let mut manager = Manager::abstract_one("life");
    let variables = [manager.variable(), ("WATCHDOG_USEC", "200000")];
    let program = Running::start(fixture!("serve"), &[], &variables);
    for _ in 0..5 {
        manager.wait("WATCHDOG=1");
    }
    program.stop();
}

#[test]
fn in_one_process_it_is_that_which_tells() {
    let mut manager = Manager::abstract_one("alone");
    let variables = [manager.variable(), ("CLUSTER_WORKERS", "0"), ("WATCHDOG_USEC", "200000")];
    let mut program = Running::start(fixture!("serve"), &[], &variables);
    manager.wait("READY=1");
    manager.wait("WATCHDOG=1");
    program.signal(Signal::TERM);
    manager.wait("STOPPING=1");
    assert_eq!(program.exit_code(), 0);
}

#[test]
fn a_manager_that_cannot_be_told_is_named_once_and_does_not_matter() {
    for (address, why) in [("/nowhere/socket", "No such file"), ("vsock:2:99", "neither a path")] {
        let program = Running::start(fixture!("serve"), &[], &[("NOTIFY_SOCKET", address)]);
        program.line(&format!("NOTIFY_SOCKET: {address}: {why}"));
        assert!(matches!(get(program.address(), "/"), Outcome::Answered(_)));
        cluster_tests::send_signal(program.worker(0).pid, Signal::KILL);
        program.line("exited: SIGKILL");
        assert_eq!(program.output().iter().filter(|line| line.contains("NOTIFY")).count(), 1);
        program.stop();
    }
}
