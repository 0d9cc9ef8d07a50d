//! What is open in master, zygote and worker: the expected set, and no more after long use.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Command,
};

use cluster_tests::{
    Running, Signal,
    client::{Asked, Tally},
    eventually, eventually_is, fixture, foreign,
    proc::Process,
    send_signal,
};

type Kinds = BTreeMap<String, usize>;

/// How many descriptors of each kind the process has, without those that the test was given itself.
fn kinds(process: &Process) -> Kinds {
    let mut kinds = Kinds::new();
    let given = given();
    for (number, target) in process.descriptors() {
        if number <= 2 || given.get(&number) == Some(&target) {
            continue;
        }
        *kinds.entry(foreign::describe(process, number, &target)).or_default() += 1;
    }
    kinds
}

/// What this process passes on to everything that it starts.
fn given() -> BTreeMap<i32, PathBuf> {
    let this = Process::this();
    let mut given = this.descriptors();
    given.retain(|&number, _| this.is_cloexec(number) == Some(false));
    given
}

fn expected(kinds: &[(&str, usize)]) -> Kinds {
    kinds.iter().map(|&(kind, count)| (kind.to_owned(), count)).collect()
}

/// Of a worker with one listener and one thread, without connections.
fn of_a_worker() -> Kinds {
    expected(&[
        // The alarm clock, the copy that signal handlers ring, the spare and its origin; that of the
        // mail thread; mio's waker.
        ("anon_inode:[eventfd]", 6),
        // tokio's, and a copy of it.
        ("anon_inode:[eventpoll]", 2),
        // The link; the queue, and the copy that a drain looks at.
        ("unix seqpacket", 3),
        // The mail lane; tokio's pair for signals, and a copy of one end.
        ("unix stream", 4),
    ])
}

fn of_a_zygote() -> Kinds {
    expected(&[("unix seqpacket", 1)])
}

fn sockets(process: &Process) -> BTreeSet<PathBuf> {
    let targets = process.descriptors().into_values();
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).collect()
}

fn master(program: &Running) -> Process {
    Process::look(program.pid()).expect("the master lives")
}

/// Kills the worker in `slot` and waits for the next.
fn replace(program: &Running, slot: usize) -> Process {
    let old = program.worker(slot).pid;
    send_signal(old, Signal::KILL);
    eventually("another worker", || Some(program.worker(slot)).filter(|p| p.pid != old))
}

fn replace_zygote(program: &Running) -> Process {
    let old = program.zygote().expect("a zygote").pid;
    send_signal(old, Signal::KILL);
    eventually("another zygote", || program.zygote().filter(|p| p.pid != old))
}

#[test]
fn connections_and_respawns_leave_no_descriptor_behind() {
    let connections = std::env::var("CLUSTER_TEST_CONNECTIONS").ok();
    let connections = connections.map_or(2_000, |n| n.parse().expect("a number"));
    let program = Running::start(fixture!("serve"), &[], &[]);
    let address = program.address();
    program.wait_for_workers(2);
    let zygote = program.zygote().expect("a zygote");
    // Once all are settled, which the worker's table shows.
    eventually_is(&of_a_worker(), || kinds(&program.worker(1)));
    let (of_master, of_zygote) = (kinds(&master(&program)), kinds(&zygote));
    const RESPAWNS: usize = 100;
    for round in 0..RESPAWNS {
        let count = connections / RESPAWNS;
        assert_eq!(
            Asked::start(address, "/", count).finish(),
            Tally::of_answers(count as u64),
            "{:#?}",
            program.output()
        );
        replace(&program, round % 2);
    }
    program.lines("respawning in 0 ms", RESPAWNS);
    eventually_is(&of_a_worker(), || kinds(&program.worker(1)));
    eventually_is(&of_master, || kinds(&master(&program)));
    eventually_is(&of_zygote, || kinds(&zygote));
    program.stop();
}

#[test]
fn every_worker_has_the_same_descriptors() {
    let program = Running::start(fixture!("serve"), &[], &[]);
    program.address();
    for slot in [0, 1] {
        eventually_is(&of_a_worker(), || kinds(&program.worker(slot)));
    }
    replace(&program, 1);
    eventually_is(&of_a_worker(), || kinds(&program.worker(1)));
    replace_zygote(&program);
    replace(&program, 0);
    eventually_is(&of_a_worker(), || kinds(&program.worker(0)));
    program.stop();
}

#[test]
fn a_worker_shares_sockets_only_with_the_master_and_only_its_queue() {
    let program = Running::start(fixture!("serve"), &[], &[("CLUSTER_WORKERS", "3")]);
    program.address();
    replace_zygote(&program);
    replace(&program, 2);
    for slot in 0..3 {
        eventually_is(&of_a_worker(), || kinds(&program.worker(slot)));
    }
    let (master, zygote) = (master(&program), program.zygote().expect("a zygote"));
    let of_workers: Vec<_> = (0..3).map(|slot| sockets(&program.worker(slot))).collect();
    for (slot, own) in of_workers.iter().enumerate() {
        assert_eq!(own.intersection(&sockets(&master)).count(), 1, "worker {slot}");
        assert_eq!(own.intersection(&sockets(&zygote)).count(), 0, "worker {slot}");
        for other in &of_workers[slot + 1..] {
            assert_eq!(own.intersection(other).count(), 0, "worker {slot}");
        }
    }
    program.stop();
}

#[test]
fn a_zygote_has_one_thread_and_one_descriptor() {
    let program = Running::start(fixture!("serve"), &[], &[]);
    program.address();
    program.wait_for_workers(2);
    for _ in 0..2 {
        let zygote = replace_zygote(&program);
        eventually_is(&of_a_zygote(), || kinds(&zygote));
        assert_eq!(zygote.threads().len(), 1);
        replace(&program, 1);
        eventually_is(&of_a_zygote(), || kinds(&zygote));
        assert_eq!(zygote.threads().len(), 1);
    }
    program.stop();
}

#[test]
fn what_the_cluster_opens_is_closed_by_exec() {
    let program = Running::start(fixture!("serve"), &[], &[]);
    program.address();
    program.wait_for_workers(2);
    replace(&program, 0);
    eventually_is(&of_a_worker(), || kinds(&program.worker(0)));
    let given = given();
    for process in program.processes() {
        let own = |&number: &i32| number > 2 && !given.contains_key(&number);
        for number in process.descriptors().into_keys().filter(own) {
            // Some of the master's come and go.
            let kept = process.is_cloexec(number) == Some(false);
            assert!(!kept, "{}: {number} is {:?}", process.title, process.descriptors());
        }
    }
    program.stop();
}

/// The shell opens the descriptors, and becomes the program.
#[test]
fn descriptors_given_to_the_program_stay_open_in_its_workers() {
    let mut command = Command::new("sh");
    let script = "exec 3</dev/zero 9</dev/zero; exec \"$0\"";
    command.args(["-c", script, fixture!("serve")]);
    let program = Running::start_command(command);
    program.address();
    program.wait_for_workers(2);
    replace_zygote(&program);
    replace(&program, 0);
    let mut with_given = of_a_worker();
    with_given.insert("/dev/zero".to_owned(), 2);
    for slot in [0, 1] {
        eventually_is(&with_given, || kinds(&program.worker(slot)));
    }
    for process in program.processes() {
        for number in [3, 9] {
            let target = process.descriptors().remove(&number);
            assert_eq!(target, Some(PathBuf::from("/dev/zero")), "{}", process.title);
            assert_eq!(process.is_cloexec(number), Some(false), "{}", process.title);
        }
    }
    program.stop();
}
