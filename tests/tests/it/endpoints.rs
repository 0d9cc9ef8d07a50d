//! What can be listened on, and how: paths, datagrams, options. Rows are those of Node's own tests.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::AsRawFd,
        unix::{
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
            net::UnixListener,
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use cluster_tests::{
    Running, Signal,
    client::{Outcome, Tally, get, get_at},
    eventually, fixture, send_signal, skip,
};

/// A directory of one test's own, which goes with it.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cluster-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub(super) fn socket(&self) -> String {
        self.0.join("app.sock").to_str().expect("text").to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) const TWO: [(&str, &str); 1] = [("CLUSTER_WORKERS", "2")];

pub(super) fn start(arguments: &[&str]) -> Running {
    let program = Running::start(fixture!("listens"), arguments, &TWO);
    program.lines(") ready", 2);
    program
}

pub(super) fn answered(outcome: Outcome) -> String {
    match outcome {
        Outcome::Answered(body) => body,
        other => panic!("{other:?}"),
    }
}

/// Answers of both slots, whatever the order.
pub(super) fn by_both(mut ask: impl FnMut() -> String) {
    let mut seen = BTreeSet::new();
    eventually("answers of both slots", || {
        seen.insert(ask());
        (seen.len() == 2).then_some(())
    });
}

/// Row 39, http-pipe; and the file goes with the cluster.
#[test]
fn a_unix_socket_is_shared_survives_kills_and_is_removed() {
    let directory = Directory::new("unix");
    let path = directory.socket();
    let program = start(&["unix", &path]);
    by_both(|| answered(get_at(Path::new(&path), "/")));
    let inode = fs::metadata(&path).expect("there").ino();
    send_signal(program.worker(0).pid, Signal::KILL);
    let mut tally = Tally::default();
    (0..50).for_each(|_| tally.add(get_at(Path::new(&path), "/")));
    assert_eq!(tally, Tally::of_answers(50));
    assert_eq!(fs::metadata(&path).expect("there").ino(), inode);
    program.stop();
    let left: Vec<_> = fs::read_dir(&directory.0).expect("read").collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Rows 9 and 40: eaccess, listen-pipe-readable-writable.
#[test]
fn a_unix_sockets_mode_is_as_asked_and_a_live_one_is_in_use() {
    let directory = Directory::new("mode");
    let path = directory.socket();
    let program = start(&["unix", &path, "mode=777"]);
    let metadata = fs::metadata(&path).expect("there");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o777);
    let once = [("CLUSTER_WORKERS", "1"), ("CLUSTER_RESPAWN", "never")];
    let mut second = Running::start(fixture!("listens"), &["unix", &path], &once);
    let line = second.line("slot 0: bind ");
    assert!(line.contains("address in use (another program listens there"), "{line}");
    assert_eq!(second.exit_code(), 1);
    assert!(Path::new(&path).exists(), "it is the first one's");
    program.stop();
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("only root can give a socket's file to somebody else");
    }
    root
}

const NOBODY: [(&str, &str); 3] =
    [TWO[0], ("CLUSTER_USER", "nobody"), ("CLUSTER_GROUP", "nogroup")];

/// User, group and permissions of the file.
fn access(path: &str) -> (u32, u32, u32) {
    let metadata = fs::metadata(path).expect("there");
    (metadata.uid(), metadata.gid(), metadata.permissions().mode() & 0o7777)
}

/// Whether a process of that user and group, and of no other, may connect: to a Unix socket that is to write.
fn may_connect(path: &str, user: u32, group: u32) -> bool {
    let mut command = Command::new("test");
    command.args(["-w", path]).uid(user).gid(group);
    command.status().expect("coreutils").success()
}

/// As gunicorn does.
#[test]
fn a_unix_sockets_file_belongs_to_whom_the_workers_run_as() {
    if !is_root() {
        return;
    }
    let directory = Directory::new("workers");
    let path = directory.socket();
    let program = Running::start(fixture!("listens"), &["unix", &path, "mode=660"], &NOBODY);
    program.lines(") ready", 2);
    assert_eq!(access(&path), (65534, 65534, 0o660));
    assert!(may_connect(&path, 65534, 1) && may_connect(&path, 1, 65534));
    assert!(!may_connect(&path, 1, 1));
    by_both(|| answered(get_at(Path::new(&path), "/")));
    fs::remove_file(&path).expect("its file");
    replace(&program, 0);
    program.line("its file was gone and is there again");
    assert_eq!(access(&path), (65534, 65534, 0o660));
    program.stop();
    assert!(!Path::new(&path).exists(), "it is removed, whoever it belongs to");
}

#[test]
fn a_unix_sockets_file_belongs_to_who_is_asked_for() {
    if !is_root() {
        return;
    }
    let directory = Directory::new("owner");
    let path = directory.socket();
    let program = start(&["unix", &path, "mode=620", "owner=nobody", "group=4000000000"]);
    assert_eq!(access(&path), (65534, 4_000_000_000, 0o620));
    program.stop();
    // One of them alone; the other is the workers'.
    let arguments = ["unix", &path, "mode=600", "owner=0"];
    let program = Running::start(fixture!("listens"), &arguments, &NOBODY);
    program.lines(") ready", 2);
    assert_eq!(access(&path), (0, 65534, 0o600));
    program.stop();
}

#[test]
fn an_owner_that_is_not_there_is_an_error_that_says_so() {
    let directory = Directory::new("no-owner");
    let path = directory.socket();
    let never = [("CLUSTER_WORKERS", "1"), ("CLUSTER_RESPAWN", "never")];
    for (option, text) in [
        ("owner=no-such", "owner = \"no-such\": no such user (see /etc/passwd)"),
        ("group=no-such", "group = \"no-such\": no such group (see /etc/group)"),
    ] {
        let arguments = ["unix", &path, option];
        let mut program = Running::start(fixture!("listens"), &arguments, &never);
        program.line(&format!("slot 0: bind {path}: {text}"));
        assert_eq!(program.exit_code(), 1);
    }
}

#[test]
fn a_file_that_may_not_be_given_away_is_an_error_that_says_so() {
    if !is_root() {
        return;
    }
    let start = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-chown", "--inh-caps=-chown", fixture!("listens")]);
        command.args(arguments).envs(NOBODY).env("CLUSTER_RESPAWN", "never");
        Running::start_command(command)
    };
    let works = Command::new("setpriv").args(["--bounding-set=-chown", "true"]).status();
    if !works.is_ok_and(|status| status.success()) {
        return skip("a root without CAP_CHOWN: no `setpriv` that works");
    }
    let directory = Directory::new("no-chown");
    let path = directory.socket();
    let mut program = start(&["unix", &path]);
    program.line(&format!("slot 0: chown {path}: permission denied (to give a file to another"));
    assert_eq!(program.exit_code(), 1);
    let left: Vec<_> = fs::read_dir(&directory.0).expect("read").collect();
    assert!(left.is_empty(), "{left:?}");
    // What it is already takes no capability.
    let program = start(&["unix", &path, "owner=0", "group=0", "mode=666"]);
    program.lines(") ready", 2);
    assert_eq!(access(&path), (0, 0, 0o666));
    program.stop();
}

#[test]
fn a_stale_unix_socket_is_replaced() {
    let directory = Directory::new("stale");
    let path = directory.socket();
    drop(UnixListener::bind(&path).expect("bound"));
    let mut killed = start(&["unix", &path]);
    send_signal(killed.pid(), Signal::KILL);
    killed.exit();
    killed.wait_for_nobody();
    assert!(Path::new(&path).exists(), "nobody was there to remove it");
    let program = start(&["unix", &path]);
    by_both(|| answered(get_at(Path::new(&path), "/")));
    program.stop();
}

fn replace(program: &Running, slot: usize) {
    let old = program.worker(slot).pid;
    send_signal(old, Signal::KILL);
    eventually("another worker", || Some(()).filter(|()| program.worker(slot).pid != old));
}

/// As by what clears temporary directories.
#[test]
fn a_unix_socket_whose_file_was_removed_is_there_again_with_the_next_worker() {
    for schedule in ["round-robin", "shared"] {
        let directory = Directory::new(schedule);
        let path = directory.socket();
        let variables = [TWO[0], ("CLUSTER_SCHEDULE", schedule)];
        let program = Running::start(fixture!("listens"), &["unix", &path], &variables);
        program.lines(") ready", 2);
        by_both(|| answered(get_at(Path::new(&path), "/")));
        fs::remove_file(&path).expect("its file");
        replace(&program, 0);
        program.line("its file was gone and is there again");
        answered(get_at(Path::new(&path), "/"));
        replace(&program, 1);
        by_both(|| answered(get_at(Path::new(&path), "/")));
        program.stop();
        assert!(!Path::new(&path).exists(), "it goes with the cluster");
    }
}

#[test]
fn a_path_that_is_anothers_by_now_is_left_to_it_and_told() {
    let directory = Directory::new("taken");
    let path = directory.socket();
    let program = start(&["unix", &path]);
    fs::remove_file(&path).expect("its file");
    let another = UnixListener::bind(&path).expect("bound");
    replace(&program, 0);
    program.line("its file is gone, so that nobody can connect: bind: Address already in use");
    program.wait_for_workers(2);
    program.stop();
    let connected = std::os::unix::net::UnixStream::connect(&path);
    assert!(connected.is_ok(), "{connected:?}");
    drop(another);
}

/// Row 41, net-listen-relative-path: longer than a socket address by its absolute path.
#[test]
fn a_relative_path_in_a_deep_directory_works() {
    let directory = Directory::new("deep");
    let deep = directory.0.join("d".repeat(130));
    fs::create_dir(&deep).expect("a directory");
    let mut command = Command::new(fixture!("listens"));
    command.args(["unix", "app.sock"]).envs(TWO).current_dir(&deep);
    let program = Running::start_command(command);
    program.lines(") ready", 2);
    // Too long for the test's own connect, too, unless it goes there by the directory's descriptor.
    let here = fs::File::open(&deep).expect("opened");
    let path = PathBuf::from(format!("/proc/self/fd/{}/app.sock", here.as_raw_fd()));
    by_both(|| answered(get_at(&path, "/")));
    program.stop();
    assert!(!deep.join("app.sock").exists());
}

/// Row 23, dgram-1: each worker stops after ten datagrams, and all forty are answered.
#[test]
fn a_udp_socket_is_shared_until_the_last_has_dropped_it() {
    let arguments = ["udp", "127.0.0.1:0", "datagrams=10"];
    let program = Running::start(fixture!("listens"), &arguments, &[("CLUSTER_WORKERS", "4")]);
    program.lines(") ready", 4);
    let address = udp_address(&program);
    let client = udp_client(address);
    let mut counts = [0; 4];
    for _ in 0..40 {
        counts[asked_by_datagram(&client)] += 1;
    }
    assert_eq!(counts, [10; 4]);
    program.stop();
}

fn udp_address(program: &Running) -> SocketAddr {
    let line = program.line("listening on udp ");
    line.rsplit_once(' ').expect("an address").1.parse().expect("an address")
}

pub(super) fn udp_client(address: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
    client.connect(address).expect("an address");
    client.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    client
}

pub(super) fn asked_by_datagram(client: &UdpSocket) -> usize {
    client.send(b"?").expect("sent");
    let mut answer = [0; 64];
    let length = client.recv(&mut answer).expect("an answer");
    let answer = std::str::from_utf8(&answer[..length]).expect("text");
    answer.trim_start_matches("slot ").parse().expect("a slot")
}

/// With the kernel's schedule a peer keeps its slot, also over a respawn, which finds what waited.
#[test]
fn datagrams_of_one_peer_come_to_one_slot_with_the_kernels_schedule() {
    let program = start(&["udp", "127.0.0.1:0", "schedule=kernel"]);
    let address = udp_address(&program);
    let clients: Vec<UdpSocket> = (0..20).map(|_| udp_client(address)).collect();
    let slots: Vec<usize> = clients.iter().map(asked_by_datagram).collect();
    assert_eq!(slots.iter().collect::<BTreeSet<_>>().len(), 2, "20 peers are spread: {slots:?}");
    send_signal(program.worker(0).pid, Signal::KILL);
    let again: Vec<usize> = clients.iter().map(asked_by_datagram).collect();
    assert_eq!(again, slots);
    program.stop();
}

/// Rows 26, 50 and 51: dgram-ipv6only, net-listen-backlog's siblings of IPv6.
#[test]
fn an_ipv6_socket_serves_both_or_leaves_ipv4_alone() {
    let program = start(&["tcp", "[::]:0"]);
    let port = program.address().port();
    by_both(|| answered(get(([127, 0, 0, 1], port).into(), "/")));
    program.stop();

    let (program, port, ipv4) = eventually("a port whose other half is nobody's", || {
        let program = start(&["tcp", "[::]:0", "v6only=true"]);
        let port = program.address().port();
        // Somebody else on this machine may have it.
        let ipv4 = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).ok()?;
        Some((program, port, ipv4))
    });
    by_both(|| answered(get(SocketAddr::new("::1".parse().expect("an address"), port), "/")));
    drop(ipv4);
    program.stop();

    eventually("a port of UDP whose other half is nobody's", || {
        let program = start(&["udp", "[::]:0", "v6only=true"]);
        let ipv4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, udp_address(&program).port()));
        program.stop();
        ipv4.ok()
    });
}

/// Row 49, net-listen-backlog: what the kernel keeps, by `TCP_INFO` of the listening socket.
#[test]
fn a_backlog_reaches_the_kernel() {
    let program = start(&["tcp", "127.0.0.1:0", "backlog=7"]);
    let port = program.address().port();
    let listed = Command::new("ss").args(["-Hltn", &format!("sport = :{port}")]).output();
    let Ok(listed) = listed else { return skip("the backlog: no `ss` here") };
    let listed = String::from_utf8(listed.stdout).expect("text");
    assert_eq!(listed.split_ascii_whitespace().nth(2), Some("7"), "{listed}");
    program.stop();
}

/// Rows 54 and 28: net-reuseport, dgram-reuseport; and Node's `exclusive`.
#[test]
fn an_exclusive_listener_is_one_workers_and_reuse_port_each_ones_own() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let free = free.to_string();
    let never = [("CLUSTER_WORKERS", "2"), ("CLUSTER_RESPAWN", "never")];
    let program = Running::start(fixture!("listens"), &["tcp", &free, "exclusive"], &never);
    program.line("slot 0: bound");
    let line = program.line("slot 1: bind ");
    assert!(line.contains("address in use"), "{line}");
    assert!(!program.output().iter().any(|line| line.contains("listening on")), "not the master");
    program.stop();

    let program = Running::start(fixture!("listens"), &["tcp", &free, "reuse_port"], &TWO);
    program.lines("bound", 2);
    by_both(|| answered(get(free.parse().expect("an address"), "/")));
    program.stop();

    let program = Running::start(fixture!("listens"), &["udp", &free, "reuse_port"], &TWO);
    program.lines("bound", 2);
    program.stop();
}

/// The same without a master.
#[test]
fn every_kind_works_in_one_process() {
    let alone = [("CLUSTER_WORKERS", "0")];
    let directory = Directory::new("alone");
    let path = directory.socket();
    let program = Running::start(fixture!("listens"), &["unix", &path], &alone);
    program.line("slot 0: bound");
    assert_eq!(answered(get_at(Path::new(&path), "/")), "slot 0");
    drop(program);
    let free = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let program = Running::start(fixture!("listens"), &["udp", &free.to_string()], &alone);
    program.line("slot 0: bound");
    assert_eq!(asked_by_datagram(&udp_client(free)), 0);
    drop(program);
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let program = Running::start(fixture!("listens"), &["tcp", &free.to_string(), "max=1"], &alone);
    program.line("slot 0: bound");
    assert!(TcpStream::connect(free).is_ok());
    assert_eq!(answered(get(free, "/")), "slot 0");
    drop(program);
}
