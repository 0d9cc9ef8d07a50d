//! The scripts by which we found weak places of Node's cluster, each with our figure beside Node's.
//!
//! | script | Node | where it is tested |
//! |---|---|---|
//! | a stopped worker, 5 connects, a second worker joins, the first is killed | 1 client hangs | here |
//! | a storm of kills, 6 000 requests | 14 hang, 10 reset | `kill::a_storm_of_kills_costs_no_more_than_..` |
//! | the only worker is killed under 500 connects a second | 29 refused | `kill::the_only_worker_may_be_killed_..` |
//! | connections over the limit of every worker | 44 % of a processor | here |
//! | a message to a worker that does not accept | 300 ms, as long as it is stopped | here |
//! | the stop is told with a connection lingering | after 6 ms, 2 alive | `branch::an_ordered_stop_is_done_when_the_last_worker_is_reaped` |
//! | the master is killed, a worker spins | 2.5 s | `orphans::a_killed_master_leaves_no_spinning_worker` |
//! | INT to the whole group | seen twice by a worker | here |
//! | a large message, then exit | 1 MB is lost | `guarantees::what_was_sent_before_exit_is_called_..` |
//! | a killed master's Unix socket | address in use | `endpoints::a_stale_unix_socket_is_replaced` |
//! | connects to stopped workers | one descriptor of the master for each | here |
//! | low RLIMIT_NOFILE | | `limits::workers_full_of_connections_lose_nothing_..` and its neighbours |

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cluster_tests::{
    Running, Signal,
    client::{Asked, Outcome, Tally, connect, get, send_request},
    eventually, fixture, freeze,
    proc::{self, Process},
    send_signal, setting,
};
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn start(fixture: &str, arguments: &[&str], workers: usize) -> Running {
    let variables = [("CLUSTER_WORKERS", &*workers.to_string())];
    let program = Running::start(fixture, arguments, &variables);
    program.wait_for_workers(workers);
    program
}

fn master(program: &Running) -> Process {
    Process::look(program.pid()).expect("the master lives")
}

#[test]
fn what_waits_at_a_killed_worker_is_answered_by_one_that_joined() {
    let program = start(fixture!("serve"), &[], 1);
    let address = program.address();
    assert!(matches!(get(address, "/"), Outcome::Answered(_)));
    let first = program.worker(0);
    freeze(&first);
    let asked = Asked::start(address, "/", 5);
    eventually("accepted", || (proc::backlog(address.port()) == 0).then_some(()));
    program.signal(Signal::TTIN);
    program.wait_for_workers(2);
    send_signal(first.pid, Signal::KILL);
    let tally = asked.finish();
    println!("5 connects to a stopped worker, then killed: {} answered; Node 4", tally.answered);
    assert_eq!(tally, Tally::of_answers(5));
    program.stop();
}

/// A connection that a worker has answered and keeps.
fn hold(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    send_request(&mut stream, "/hold").expect("asked");
    assert!(stream.peek(&mut [0]).is_ok_and(|length| length > 0), "answered");
    stream
}

#[test]
fn connections_that_wait_for_a_worker_cost_the_master_no_processor() {
    const LOOK: Duration = Duration::from_secs(3);
    let program = start(fixture!("serve"), &[], 1);
    let address = program.address();
    assert!(matches!(get(address, "/"), Outcome::Answered(_)));
    let worker = program.worker(0);
    freeze(&worker);
    let waiting = Asked::start(address, "/", 3);
    let master = || master(&program).ticks();
    // What they cost when they come is not what is measured.
    eventually("nothing to do", || {
        let before = master();
        thread::sleep(Duration::from_millis(300));
        (master() == before).then_some(())
    });
    // A machine that is busy with something else makes each look at the workers dearer, but not all the time.
    eventually("little processor time", || {
        let (before, begun) = (master(), Instant::now());
        thread::sleep(LOOK);
        let percent = (master() - before) as f64 / begun.elapsed().as_secs_f64();
        println!("3 connections wait for a worker: the master takes {percent:.2} % of a processor");
        (percent < 2.0).then_some(())
    });
    send_signal(worker.pid, Signal::CONT);
    assert_eq!(waiting.finish(), Tally::of_answers(3));
    program.stop();
}

/// By every schedule, since each has its own way to let connections wait.
#[test]
fn connections_over_the_limit_of_every_worker_cost_no_processor() {
    /// Of which a tick, which is 10 ms, is 0.33 %.
    const LOOK: Duration = Duration::from_secs(3);
    for schedule in ["round-robin", "least-connections", "sticky", "shared", "kernel"] {
        let schedule = format!("schedule={schedule}");
        let program = start(fixture!("listens"), &["tcp", "127.0.0.1:0", "max=2,2", &schedule], 2);
        program.lines(") ready", 2);
        let address = program.address();
        let held: Vec<TcpStream> = (0..4).map(|_| hold(address)).collect();
        let waiting = Asked::start(address, "/", 20);
        let of_workers = || program.workers().iter().map(Process::ticks).sum::<u64>();
        let all = || (master(&program).ticks(), of_workers());
        // What the 20 cost when they come is not what is measured.
        eventually("nothing to do", || {
            let before = all();
            thread::sleep(Duration::from_millis(300));
            (all() == before).then_some(())
        });
        // A machine that is busy with something else makes each look at the workers dearer, but not all the time.
        eventually("little processor time", || {
            let (before, begun) = (all(), Instant::now());
            thread::sleep(LOOK);
            let (after, seconds) = (all(), begun.elapsed().as_secs_f64());
            let percent = |before: u64, after: u64| (after - before) as f64 / seconds;
            let (master, workers) = (percent(before.0, after.0), percent(before.1, after.1));
            println!(
                "{schedule}, 20 over the limit: master {master:.2} % of a processor, workers {workers:.2} %; Node's \
                 primary 44 %"
            );
            (master < 1.0 && workers < 2.0).then_some(())
        });
        drop(held);
        assert_eq!(waiting.finish(), Tally::of_answers(20), "{schedule}");
        program.stop();
    }
}

/// Node's message waits behind a connection until that is acknowledged. Ours has a lane of its own, and its figure
/// is from the call in the master to the task that has it in a worker all of whose other threads are busy.
#[test]
fn a_message_does_not_wait_behind_connections_that_its_worker_does_not_accept() {
    const WAITING: usize = 5;
    let program = Running::start(fixture!("guarantees"), &["busy"], &[]);
    let line = program.line("listening at ");
    let (_, address) = line.rsplit_once(' ').expect("an address");
    let address: SocketAddr = address.parse().expect("an address");
    let mut first = connect(address);
    let _waiting: Vec<TcpStream> = (0..WAITING).map(|_| connect(address)).collect();
    eventually("handed over", || (proc::backlog(address.port()) == 0).then_some(()));
    // The worker has accepted the first, and accepts none from here on.
    first.write_all(b"!").expect("the worker reads");
    let line = program.line("slot 0 got a message while it was busy, after ");
    let (_, took) = line.rsplit_once("after ").expect("a time at its end");
    println!("a message behind {WAITING} connections that wait: {took}; Node's 300 ms");
    program.stop();
}

#[test]
fn an_int_to_every_process_is_seen_once_by_each_worker() {
    let mut program = start(fixture!("interrupted"), &[], 2);
    program.lines("is ready", 2);
    program.signal_all(Signal::INT);
    assert_eq!(program.exit_code(), 0);
    program.wait_for_output();
    for worker in [1, 2] {
        let text = format!("worker {worker} saw INT");
        let seen = program.output().iter().filter(|line| **line == text).count();
        println!(
            "INT to the group: worker {worker} saw {seen}; Node's with a forwarding primary 2"
        );
        assert_eq!(seen, 1, "{:#?}", program.output());
    }
}

async fn ask(address: SocketAddr, begun: Arc<AtomicUsize>) -> std::io::Result<bool> {
    begun.fetch_add(1, Ordering::Relaxed);
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200") && answer.contains("worker "))
}

/// Asks so many times at once; returns a handle that says what came of it.
fn ask_all(
    address: SocketAddr,
    count: usize,
    begun: Arc<AtomicUsize>,
) -> thread::JoinHandle<Tally> {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let ask = |_| tokio::spawn(ask(address, Arc::clone(&begun)));
            let asked: Vec<_> = (0..count).map(ask).collect();
            let mut tally = Tally::default();
            for one in asked {
                match one.await.expect("no panic") {
                    Ok(true) => tally.answered += 1,
                    Ok(false) => tally.empty += 1,
                    Err(error) => tally.add(Outcome::from(&error)),
                }
            }
            tally
        })
    })
}

#[test]
fn connects_to_stopped_workers_take_no_descriptor_of_the_master_and_are_answered() {
    // Other tests of this process need some too.
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // What the queues and a backlog of 4096 hold. Of the 10 000 that CLUSTER_TEST_CONNECTIONS=10000 makes of it,
    // the kernel drops the last step of the rest's handshakes, to be sent again, and resets one connection in
    // one of some 30 to 100 runs: also where a plain program listens, with nothing of this project in it.
    let wanted = setting("CLUSTER_TEST_CONNECTIONS", 4_000);
    let count = usize::try_from(wanted.min(limit / 2)).expect("a number of descriptors");
    let program = start(fixture!("serve"), &[], 2);
    let address = program.address();
    assert!(matches!(get(address, "/"), Outcome::Answered(_)));
    let workers = program.workers();
    workers.iter().for_each(freeze);
    let master = master(&program);
    let before = master.descriptors().len();
    let begun = Arc::<AtomicUsize>::default();
    let answers = ask_all(address, count, Arc::clone(&begun));
    let mut most = before;
    let mut look = || most = most.max(master.descriptors().len());
    eventually("all connects", || {
        look();
        (begun.load(Ordering::Relaxed) == count).then_some(())
    });
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        look();
        thread::sleep(Duration::from_millis(10));
    }
    println!(
        "{count} connects to stopped workers: the master had {before} descriptors, {most} at most, {} connections \
         wait in the kernel; Node one for each",
        proc::backlog(address.port())
    );
    assert!(most < before + 16, "{before} before, {most} at most");
    workers.iter().for_each(|worker| send_signal(worker.pid, Signal::CONT));
    let tally = answers.join().expect("no panic");
    assert_eq!(tally, Tally::of_answers(count as u64), "{:#?}", program.output());
    eventually("as many as before", || (master.descriptors().len() <= before).then_some(()));
    program.stop();
}
