//! Clients that keep their connection and honour `Connection: close`, as browsers and proxies do.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What became of requests on kept connections.
#[derive(Debug, Default)]
pub struct Counts {
    /// Whole answers.
    pub answered: AtomicU64,
    /// Answers that said `Connection: close`.
    pub told_to_close: AtomicU64,
    /// Connections found closed before a request was sent on them.
    pub closed_idle: AtomicU64,
    /// Requests that were sent and not answered.
    pub unanswered: AtomicU64,
}

/// Clients that ask again and again on connections that they keep, until nobody listens any more.
#[derive(Debug)]
pub struct KeepAlive {
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl KeepAlive {
    /// Starts `clients` clients, each pausing for `pause` between two requests.
    pub fn start(address: SocketAddr, clients: usize, pause: Duration) -> Self {
        let (counts, stop) = (Arc::<Counts>::default(), Arc::<AtomicBool>::default());
        let threads = (0..clients)
            .map(|_| {
                let (counts, stop) = (Arc::clone(&counts), Arc::clone(&stop));
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let Ok(stream) = TcpStream::connect(address) else { return };
                        use_up(stream, pause, &counts, &stop);
                    }
                })
            })
            .collect();
        Self { counts, stop, threads }
    }

    /// What happened so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Lets every client finish its request.
    pub fn stop(self) -> Arc<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no client panics");
        }
        self.counts
    }
}

/// Sends requests on one connection until it ends or is to end.
fn use_up(stream: TcpStream, pause: Duration, counts: &Counts, stop: &AtomicBool) {
    let count = |which: &AtomicU64| which.fetch_add(1, Ordering::Relaxed);
    let mut stream = BufReader::new(stream);
    while !stop.load(Ordering::Relaxed) {
        if is_closed(stream.get_ref()) {
            count(&counts.closed_idle);
            return;
        }
        let sent = stream.get_mut().write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n");
        match sent.and_then(|()| read_answer(&mut stream)) {
            Ok((_, close)) => {
                count(&counts.answered);
                if close {
                    count(&counts.told_to_close);
                    return;
                }
            }
            Err(_) => {
                count(&counts.unanswered);
                return;
            }
        }
        thread::sleep(pause);
    }
}

/// Whether the server has closed the connection, or sent something that nobody asked for.
///
/// # Panics
/// If it is no socket.
pub fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("a socket");
    !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Reads head and body; returns the body, and whether the head says that this was the last answer.
///
/// # Errors
/// Those of the socket; `UnexpectedEof` if it ends before the answer does.
pub fn read_answer(stream: &mut BufReader<TcpStream>) -> io::Result<(Vec<u8>, bool)> {
    let (mut length, mut close) = (0, false);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        close |= line == "connection: close";
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((body, close))
}
