//! A client that sorts every outcome. (`ab` aborts at the first reset.)

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What became of one connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A whole answer, with this body.
    Answered(String),
    /// The connection was refused.
    Refused,
    /// It was reset.
    Reset,
    /// It was closed without an answer, or in the middle of one.
    Empty,
    /// Nothing came for a long time.
    Hung,
    /// Something else, such as no local port.
    Other(String),
}

/// How long a client waits before it calls a server hung. Far beyond what a loaded machine needs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One request on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Outcome {
    sort(try_get(address, path))
}

/// What became of a connection on which all was read that came.
pub fn sort(answer: io::Result<Vec<u8>>) -> Outcome {
    answer.map_or_else(|error| Outcome::from(&error), |answer| parse(&answer))
}

impl From<&io::Error> for Outcome {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            io::ErrorKind::UnexpectedEof => Self::Empty,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Hung,
            _ => Self::Other(error.to_string()),
        }
    }
}

/// Connections, each with a request on it whose answer is yet to be read.
#[derive(Debug)]
pub struct Asked(Vec<TcpStream>);

impl Asked {
    /// Connects `count` times and asks on each connection.
    ///
    /// # Panics
    /// If a connect fails.
    pub fn start(address: SocketAddr, path: &str, count: usize) -> Self {
        let ask = |_| {
            let mut stream = connect(address);
            send_request(&mut stream, path).expect("a request is sent");
            stream
        };
        Self((0..count).map(ask).collect())
    }

    /// Reads every answer.
    pub fn finish(self) -> Tally {
        let mut tally = Tally::default();
        for mut stream in self.0 {
            tally.add(sort(read_answer(&mut stream)));
        }
        tally
    }
}

/// A connection that nothing was asked on.
///
/// # Panics
/// If it cannot be made.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
    stream
}

/// One request on a connection of its own to a Unix socket.
pub fn get_at(path: &Path, request: &str) -> Outcome {
    let ask = || {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        send_request(&mut stream, request)?;
        read_answer(&mut stream)
    };
    sort(ask())
}

fn try_get(address: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    send_request(&mut stream, path)?;
    read_answer(&mut stream)
}

/// One request on a connection of its own from this address of the client's.
///
/// # Panics
/// If there is no socket for it.
pub fn get_from(client: Ipv4Addr, address: SocketAddr, path: &str) -> Outcome {
    let ask = || {
        let mut stream = connect_from(client, address)?;
        send_request(&mut stream, path)?;
        read_answer(&mut stream)
    };
    sort(ask())
}

/// A connection from this address of the client's.
///
/// # Errors
/// Those of `connect(2)`.
///
/// # Panics
/// If there is no socket for it.
pub fn connect_from(client: Ipv4Addr, address: SocketAddr) -> io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
    let flags = SocketFlags::CLOEXEC;
    let socket =
        socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a socket");
    bind(&socket, &SocketAddr::from((client, 0))).expect("an address of loopback");
    connect(&socket, &address)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends a request that asks for the connection's end.
///
/// # Errors
/// Those of the socket.
pub fn send_request(stream: &mut impl Write, path: &str) -> io::Result<()> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
}

/// Reads to the end.
///
/// # Errors
/// Those of the socket.
pub fn read_answer(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn parse(answer: &[u8]) -> Outcome {
    let answer = String::from_utf8_lossy(answer);
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") && complete(head, body) => {
            Outcome::Answered(body.trim_end().to_owned())
        }
        Some((head, _)) if !head.starts_with("HTTP/1.1 200") => {
            Outcome::Other(head.lines().next().unwrap_or_default().to_owned())
        }
        _ => Outcome::Empty,
    }
}

/// Whether the body has the length that the head announces.
fn complete(head: &str, body: &str) -> bool {
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_none_or(|length| length == body.len())
}

/// How many connections had which outcome; answers count together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whole answers.
    pub answered: u64,
    /// Refused connects.
    pub refused: u64,
    /// Resets.
    pub reset: u64,
    /// Closed without a whole answer.
    pub empty: u64,
    /// No answer in a long time.
    pub hung: u64,
    /// Anything else, by its message.
    pub other: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts one outcome.
    pub fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Answered(_) => self.answered += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Reset => self.reset += 1,
            Outcome::Empty => self.empty += 1,
            Outcome::Hung => self.hung += 1,
            Outcome::Other(what) => *self.other.entry(what).or_default() += 1,
        }
    }

    /// A tally of `count` answers and nothing else.
    pub fn of_answers(count: u64) -> Self {
        Self { answered: count, ..Self::default() }
    }

    /// All connections.
    pub fn total(&self) -> u64 {
        let other: u64 = self.other.values().sum();
        self.answered + self.refused + self.reset + self.empty + self.hung + other
    }
}

/// Clients that ask again and again, each on a new connection, until they are stopped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts `clients` clients, each pausing for `pause` between two requests.
    pub fn start(address: SocketAddr, path: &'static str, clients: usize, pause: Duration) -> Self {
        Self::of(clients, pause, move || get(address, path))
    }

    /// Starts `clients` clients that do what `ask` does, each pausing for `pause` in between.
    pub fn of(
        clients: usize,
        pause: Duration,
        ask: impl Fn() -> Outcome + Clone + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let threads = (0..clients)
            .map(|_| {
                let (stop, tally) = (Arc::clone(&stop), Arc::clone(&tally));
                let ask = ask.clone();
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let outcome = ask();
                        tally.lock().expect("no panic while counting").add(outcome);
                        thread::sleep(pause);
                    }
                })
            })
            .collect();
        Self { stop, tally, threads }
    }

    /// What happened so far.
    pub fn so_far(&self) -> Tally {
        self.tally.lock().expect("no panic while counting").clone()
    }

    /// Lets every client finish its request, and returns what happened.
    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no client panics");
        }
        let tally = self.tally.lock().expect("no panic while counting");
        tally.clone()
    }
}
