//! What a server on a cluster listener owes its clients, whatever they speak: every worker answers, a
//! stop loses nothing, a kill costs only what the dead worker had open.

use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    future::Future,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use cluster_tests::{
    Running, Signal,
    client::{Load, Outcome, PATIENCE, Tally},
    eventually, send_signal,
};

/// How many clients ask all the time, each on new connections.
const CLIENTS: usize = 4;

/// How many exchanges are under way when the drain begins; enough that every worker has some.
const TALKS: usize = 6;

/// Somebody who speaks a protocol.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// Where its server listens.
    type Address: Clone + Send + Sync + 'static;

    /// An exchange that is under way.
    type Talk: Send;

    /// Where the program listens, by what it says.
    fn address(program: &Running) -> Self::Address;

    /// One exchange on a connection of its own. A server has answered with `worker SLOT: ...`, or has
    /// said in words of the protocol that it is about to end.
    fn ask(&self, address: &Self::Address) -> Outcome;

    /// Begins an exchange on a connection of its own; its server knows of it when this returns.
    fn begin(&self, address: &Self::Address) -> Self::Talk;

    /// Ends the exchange, after its server was told to drain: what is still missing has to come, and
    /// then the end that the protocol knows.
    fn finish(&self, talk: Self::Talk);
}

/// A directory of one test's own for a socket, which goes with it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cluster-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub(crate) fn socket(&self) -> String {
        self.0.join("app.sock").to_str().expect("text").to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where a program listens that was given a path.
pub(crate) fn path(program: &Running) -> PathBuf {
    let line = program.line("listening on ");
    line.rsplit_once(' ').expect("a path at the end of the line").1.into()
}

/// An exchange at a path: where there is no file any more, nobody listens.
pub(crate) fn or_gone(path: &Path, ask: impl FnOnce() -> Outcome) -> Outcome {
    match ask() {
        Outcome::Other(_) if !path.exists() => Outcome::Refused,
        outcome => outcome,
    }
}

/// Starts a fixture program and checks all promises.
pub(crate) fn are_kept(path: &str, arguments: &[&str], client: &impl Client) {
    let program = Running::start(path, arguments, &[("CLUSTER_GRACE", "1h")]);
    program.wait_for_workers(2);
    every_worker_answers(&program, client);
    a_kill_costs_what_was_open(&program, client);
    a_stop_loses_nothing(program, client);
}

fn load<C: Client>(program: &Running, client: &C) -> Load {
    let (client, address) = (client.clone(), C::address(program));
    let load = Load::of(CLIENTS, Duration::from_millis(1), move || client.ask(&address));
    wait_for_answers(&load, 50);
    load
}

fn wait_for_answers(load: &Load, more: u64) {
    let enough = load.so_far().answered + more;
    eventually("answers", || (load.so_far().answered >= enough).then_some(()));
}

fn every_worker_answers<C: Client>(program: &Running, client: &C) {
    let address = C::address(program);
    let mut slots = BTreeSet::new();
    // Whose turn it is, is known to the kernel alone where workers share the socket.
    eventually("answers of both workers", || {
        match client.ask(&address) {
            Outcome::Answered(answer) => slots.extend(slot_of(&answer)),
            other => panic!("{other:?}: {:#?}", program.output()),
        }
        (slots.len() == 2).then_some(())
    });
    assert_eq!(slots, BTreeSet::from([0, 1]));
}

fn slot_of(answer: &str) -> Option<u32> {
    let (who, _) = answer.split_once(':')?;
    who.strip_prefix("worker ")?.parse().ok()
}

fn a_kill_costs_what_was_open(program: &Running, client: &impl Client) {
    let load = load(program, client);
    let killed = program.worker(0).pid;
    send_signal(killed, Signal::KILL);
    eventually("a replacement", || (program.worker(0).pid != killed).then_some(()));
    wait_for_answers(&load, 50);
    let tally = load.stop();
    assert_eq!((tally.refused, tally.hung), (0, 0), "{tally:?}: {:#?}", program.output());
    // A client has one connection at a time.
    assert!(tally.total() - tally.answered <= CLIENTS as u64, "{tally:?}");
    every_worker_answers(program, client);
}

// Grace is far beyond the test's deadline, so ending at all is ending without it.
fn a_stop_loses_nothing<C: Client>(mut program: Running, client: &C) {
    let (load, address) = (load(&program, client), C::address(&program));
    let talks: Vec<_> = (0..TALKS).map(|_| client.begin(&address)).collect();
    program.signal(Signal::TERM);
    wait_for_drain(&program);
    // A server that accepts by itself stops doing so when it is told, which is a little later.
    eventually("the end of the listener", || (load.so_far().refused > 0).then_some(()));
    std::thread::scope(|threads| {
        for talk in talks {
            threads.spawn(|| client.finish(talk));
        }
    });
    assert_eq!(program.exit_code(), 0, "{:#?}", program.output());
    let tally = load.stop();
    let fine = Tally { answered: tally.answered, refused: tally.refused, ..Tally::default() };
    assert_eq!(tally, fine, "{:#?}", program.output());
    // One was killed before.
    assert_eq!(program.exits().0, 3, "{:#?}", program.output());
}

/// Waits until every worker that is left drains, by the statistics.
fn wait_for_drain(program: &Running) {
    const HEAD: &str = "departed and draining";
    eventually("a drain of every worker", || {
        let before = program.output().iter().filter(|line| line.contains(HEAD)).count();
        program.signal(Signal::USR1);
        program.lines(HEAD, before + 1);
        program.lines("slot 1: ", before + 1);
        let output = program.output();
        let last = output.iter().rposition(|line| line.contains(HEAD)).expect("a head");
        let ready = output[last..].iter().any(|line| line.contains(", ready;"));
        (!ready).then_some(())
    });
}

/// Runs a client's future on a runtime of its own, with patience.
pub(crate) fn run<T>(talk: impl Future<Output = Result<T, Box<dyn Error>>>) -> Result<T, Outcome> {
    let runtime = runtime();
    let patient = async { tokio::time::timeout(PATIENCE, talk).await };
    match runtime.block_on(patient) {
        Ok(done) => done.map_err(|error| sort(&*error)),
        Err(_) => Err(Outcome::Hung),
    }
}

/// A runtime for one client.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What became of a connection, by the system's error at the root of what a crate says.
fn sort(error: &(dyn Error + 'static)) -> Outcome {
    let mut said = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>().filter(|e| e.get_ref().is_none()) {
            return Outcome::from(error);
        }
        said.push(error.to_string());
        next = error.source();
    }
    Outcome::Other(said.join(": "))
}
