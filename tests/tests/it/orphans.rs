//! After the master's end, however it came, no process of the cluster is left.

use std::{
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use cluster_tests::{
    Running, Signal, client, eventually, fixture, freeze, proc::Process, send_signal,
};

const KILLS: usize = 10;

fn started() -> (Running, SocketAddr) {
    let program = Running::start(fixture!("serve"), &[], &[]);
    let address = program.address();
    program.wait_for_workers(2);
    (program, address)
}

/// Kills the master and waits for the end of everything; says how long that took.
fn kill_master(mut program: Running, address: SocketAddr) -> Duration {
    let start = Instant::now();
    program.signal(Signal::KILL);
    program.exit();
    program.wait_for_nobody();
    let took = start.elapsed();
    eventually("the port free again", || TcpListener::bind(address).ok());
    took
}

fn median(name: &str, mut times: Vec<Duration>) {
    times.sort();
    println!("{name}: median {:?} of {}", times[times.len() / 2], times.len());
}

/// Asks for `/spin` and waits until some worker does nothing else.
fn spin(program: &Running, address: SocketAddr) {
    let idle: u64 = program.workers().iter().map(Process::ticks).sum();
    let mut stream = client::connect(address);
    client::send_request(&mut stream, "/spin").expect("a request is sent");
    let busy = || program.workers().iter().map(Process::ticks).sum::<u64>() > idle + 20;
    eventually("a spinning worker", || busy().then_some(()));
}

#[test]
fn a_killed_master_leaves_nobody() {
    let times = (0..KILLS).map(|_| {
        let (program, address) = started();
        kill_master(program, address)
    });
    median("kill of the master", times.collect());
}

#[test]
fn a_killed_master_leaves_no_spinning_worker() {
    let times = (0..KILLS).map(|_| {
        let (program, address) = started();
        spin(&program, address);
        kill_master(program, address)
    });
    median("kill of the master, a worker spinning", times.collect());
}

#[test]
fn a_killed_master_leaves_no_stopped_worker() {
    let times = (0..KILLS).map(|_| {
        let (program, address) = started();
        freeze(&program.worker(1));
        kill_master(program, address)
    });
    median("kill of the master, a worker stopped", times.collect());
}

#[test]
fn a_killed_master_leaves_no_stopped_zygote() {
    let times = (0..KILLS).map(|_| {
        let (program, address) = started();
        freeze(&program.zygote().expect("a zygote"));
        kill_master(program, address)
    });
    median("kill of the master, the zygote stopped", times.collect());
}

#[test]
fn a_master_killed_after_its_zygote_leaves_nobody() {
    let times = (0..KILLS).map(|round| {
        let (program, address) = started();
        let zygote = program.zygote().expect("a zygote").pid;
        send_signal(zygote, Signal::KILL);
        // Every other time the next zygote, which is between fork and hello, is among those left.
        let pid = program.pid();
        let another = || {
            let mut children = cluster_tests::proc::children_of(pid).into_iter();
            children.find(|p| p.pid > zygote && !p.title.contains(": worker "))
        };
        if round % 2 == 1 {
            eventually("another zygote", another);
        }
        kill_master(program, address)
    });
    median("kill of the master, the zygote killed before", times.collect());
}

#[test]
fn a_master_killed_while_it_respawns_leaves_nobody() {
    let times = (0..KILLS).map(|_| {
        let (program, address) = started();
        for worker in program.workers() {
            send_signal(worker.pid, Signal::KILL);
        }
        kill_master(program, address)
    });
    median("kill of the master, workers being respawned", times.collect());
}

// The kernel also wakes a stopped process whose whole group was orphaned, and a worker's link ends with
// its master: the tests above do not tell by which of these ways a worker went.
#[test]
fn the_kernel_kills_a_worker_when_its_master_ends() {
    let program = Running::start(fixture!("serve"), &[], &[("CLUSTER_WORKERS", "1")]);
    let address = program.address();
    let first = client::get(address, "/death");
    assert!(
        matches!(&first, client::Outcome::Answered(signal) if signal.contains("KILL")),
        "{first:?}"
    );
    let worker = program.worker(0);
    send_signal(worker.pid, Signal::KILL);
    eventually("a replacement", || (program.worker(0).pid != worker.pid).then_some(()));
    assert_eq!(client::get(address, "/death"), first);
    program.stop();
}
