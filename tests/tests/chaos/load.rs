//! Clients that number every request and check every answer, on kept connections and on single ones.
//!
//! What became of a request is counted, and of a lost one who had the connection; never judged here. An answer
//! that is not the right one is `Other`.

use std::{
    io::{self, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use cluster_tests::{
    client::{self, Outcome, Tally, connect_from, send_request},
    keep_alive::{is_closed, read_answer},
    monotonic_ms,
    pattern::is_pattern,
    receipts::Receipts,
};

use super::{losses::Loss, plan::Dice};

/// Above this an answer is not in one packet.
const BYTES_MAX: u64 = 100_000;

/// What all clients of a run count together.
#[derive(Debug)]
pub(super) struct Count {
    tally: Mutex<Tally>,
    losses: Mutex<Vec<Loss>>,
    number: AtomicU64,
    pub(super) receipts: Receipts,
}

impl Count {
    pub(super) fn new(receipts: Receipts) -> Self {
        let (tally, losses) = (Mutex::default(), Mutex::default());
        Self { tally, losses, number: AtomicU64::new(0), receipts }
    }

    pub(super) fn so_far(&self) -> Tally {
        self.tally.lock().expect("no panic while counting").clone()
    }

    /// Every request that was sent, or whose connection was made, and got no whole answer.
    pub(super) fn losses(&self) -> Vec<Loss> {
        self.losses.lock().expect("no panic while counting").clone()
    }

    fn add(&self, outcome: Outcome) {
        self.tally.lock().expect("no panic while counting").add(outcome);
    }
}

/// One connection of a client, and what is noted of it.
#[derive(Debug)]
pub(super) struct Connection<'a> {
    pub(super) stream: BufReader<TcpStream>,
    count: &'a Count,
    client: SocketAddr,
    since: f64,
}

impl<'a> Connection<'a> {
    /// Connects; a failure is counted.
    pub(super) fn open(client: Ipv4Addr, address: SocketAddr, count: &'a Count) -> Option<Self> {
        let since = monotonic_ms();
        match connect_from(client, address) {
            Ok(stream) => {
                let client = stream.local_addr().expect("a socket");
                Some(Self { stream: BufReader::new(stream), count, client, since })
            }
            Err(error) => {
                count.add(Outcome::from(&error));
                None
            }
        }
    }

    /// Counts what became of a request on it, and returns that.
    pub(super) fn counted(&self, outcome: Outcome) -> Outcome {
        if matches!(outcome, Outcome::Reset | Outcome::Empty) {
            let receipt = self.count.receipts.find(self.client, self.since);
            let loss = Loss { since: self.since, at: monotonic_ms(), receipt };
            self.count.losses.lock().expect("no panic while counting").push(loss);
        }
        self.count.add(outcome.clone());
        outcome
    }
}

/// An address of its own for each client, as the sticky schedule wants to see.
pub(super) fn address_of(client: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x7f01_0000 + (client % 250 + 1) as u32)
}

/// A request that has a number, and so one right answer.
#[derive(Debug)]
pub(super) struct Request {
    number: u64,
    bytes: u64,
}

impl Request {
    pub(super) fn new(count: &Count, bytes: u64) -> Self {
        Self { number: count.number.fetch_add(1, Ordering::Relaxed), bytes }
    }

    pub(super) fn text(&self, last: bool) -> String {
        let Self { number, bytes } = self;
        let close = if last { "connection: close\r\n" } else { "" };
        format!("GET /echo/{number}/{bytes} HTTP/1.1\r\nhost: test\r\n{close}\r\n")
    }

    /// Reads the answer and checks it; returns whether the server closes the connection then.
    pub(super) fn read(&self, stream: &mut BufReader<TcpStream>) -> io::Result<(Outcome, bool)> {
        let (body, close) = read_answer(stream)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let mut words = body.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (number, version, slot, text) = (word(), word(), word(), word());
        let right = number == self.number.to_string()
            && text.len() as u64 == self.bytes
            && is_pattern(self.number, text);
        let outcome = match right {
            true => Outcome::Answered(format!("{version} {slot}")),
            false => Outcome::Other(format!("{self:?} got {body:.80}")),
        };
        Ok((outcome, close))
    }
}

/// One request on a connection of its own; counted.
pub(super) fn ask(client: Ipv4Addr, address: SocketAddr, count: &Count, bytes: u64) -> Outcome {
    let request = Request::new(count, bytes);
    let Some(mut connection) = Connection::open(client, address, count) else {
        return Outcome::Refused;
    };
    let sent = connection.stream.get_mut().write_all(request.text(true).as_bytes());
    let outcome = match sent.and_then(|()| request.read(&mut connection.stream)) {
        Ok((outcome, _)) => outcome,
        Err(error) => Outcome::from(&error),
    };
    connection.counted(outcome)
}

/// A request for something that is not good for a worker; counted.
pub(super) fn provoke(client: Ipv4Addr, address: SocketAddr, count: &Count, path: &str) {
    let Some(mut connection) = Connection::open(client, address, count) else { return };
    let stream = connection.stream.get_mut();
    let answer = send_request(stream, path).and_then(|()| client::read_answer(stream));
    connection.counted(client::sort(answer));
}

/// Clients that ask until they are stopped.
#[derive(Debug)]
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Of the clients, every second one keeps its connection for some requests.
    pub(super) fn start(seed: u64, address: SocketAddr, clients: u64, count: &Arc<Count>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let client = |number: u64| {
            let (stop, count) = (Arc::clone(&stop), Arc::clone(count));
            let mut dice = Dice::new(seed.wrapping_mul(1_000).wrapping_add(number));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let requests = if number % 2 == 0 { 1 } else { 1 + dice.below(50) };
                    use_connection(address_of(number), address, requests, &count, &mut dice);
                }
            })
        };
        Self { threads: (0..clients).map(client).collect(), stop }
    }

    /// Lets every client finish.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no client panics");
        }
    }
}

/// Some requests on one connection, until one fails or the server wants no more.
fn use_connection(
    client: Ipv4Addr,
    address: SocketAddr,
    requests: u64,
    count: &Count,
    dice: &mut Dice,
) {
    let Some(mut connection) = Connection::open(client, address, count) else {
        // Refused, which is quick.
        return thread::sleep(Duration::from_millis(5));
    };
    for left in (0..requests).rev() {
        if is_closed(connection.stream.get_ref()) && left + 1 < requests {
            return;
        }
        let bytes = if dice.below(10) == 0 { dice.below(BYTES_MAX) } else { 64 };
        let request = Request::new(count, bytes);
        let sent = connection.stream.get_mut().write_all(request.text(left == 0).as_bytes());
        match sent.and_then(|()| request.read(&mut connection.stream)) {
            Ok((outcome, close)) => {
                connection.counted(outcome);
                if close {
                    return;
                }
            }
            Err(error) => {
                connection.counted(Outcome::from(&error));
                return;
            }
        }
        thread::sleep(Duration::from_micros(dice.below(4_000)));
    }
}
