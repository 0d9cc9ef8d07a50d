//! The clients: many that connect anew for each request, wrk with connections that it keeps, one that tries.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    task::JoinSet,
    time,
};

use crate::programs;

/// How many clients there are at once: without keep-alive, and with.
pub(crate) const NEW_CLIENTS: u8 = 200;
pub(crate) const KEPT_CLIENTS: u8 = 64;

/// How long a client may take beyond what it was asked for; then the server hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// After so long, who tries whether anybody answers tries again: a peer may have lost the connection.
const TRY: Duration = Duration::from_millis(250);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// What clients saw. Latencies in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.expect("a runtime")
}

/// Many clients, each with a new connection for every request, for so long.
///
/// # Panics
/// If a request is not answered.
pub(crate) fn connect_anew(address: SocketAddr, duration: Duration) -> Load {
    let begun = Instant::now();
    let mut latencies = runtime().block_on(async {
        let mut clients = JoinSet::new();
        for number in 0..NEW_CLIENTS {
            // An address each, so that a sticky schedule can tell them apart.
            let own = (Ipv4Addr::new(127, 0, 1, number), 0).into();
            clients.spawn(connect_until(own, address, begun + duration));
        }
        let all = time::timeout(duration + PATIENCE, clients.join_all()).await;
        let all = all.unwrap_or_else(|_| panic!("{address}: a client waits for ever"));
        let all = all.into_iter().collect::<io::Result<Vec<_>>>();
        all.unwrap_or_else(|error| panic!("{address}: a request failed: {error}")).concat()
    });
    let elapsed = begun.elapsed();
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        f64::from(latencies[index.min(latencies.len() - 1)])
    };
    let requests = latencies.len() as u64;
    Load { requests, elapsed, p50: at(0.5), p99: at(0.99), p999: at(0.999) }
}

/// One client; the microseconds that each of its requests took, connecting included.
async fn connect_until(own: SocketAddr, address: SocketAddr, end: Instant) -> io::Result<Vec<u32>> {
    let mut latencies = Vec::new();
    let mut answer = Vec::with_capacity(512);
    loop {
        let begun = Instant::now();
        if begun >= end && !latencies.is_empty() {
            return Ok(latencies);
        }
        answer.clear();
        let socket = TcpSocket::new_v4()?;
        socket.bind(own)?;
        let mut stream = socket.connect(address).await?;
        stream.write_all(REQUEST).await?;
        stream.read_to_end(&mut answer).await?;
        drop(stream);
        check(&answer)?;
        latencies.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

fn check(answer: &[u8]) -> io::Result<()> {
    // Some send a chunk rather than a length, which then follows.
    if answer.starts_with(b"HTTP/1.1 200") && answer.windows(5).any(|part| part == b"hello") {
        return Ok(());
    }
    Err(io::Error::other(format!("the answer is {:?}", String::from_utf8_lossy(answer))))
}

/// Asks once. Whether the answer was right; not, if there was none soon.
pub(crate) fn is_answered(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, TRY)?;
        stream.set_read_timeout(Some(TRY))?;
        stream.write_all(REQUEST)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        check(&answer)
    };
    ask().is_ok()
}

/// wrk, with connections that it keeps, for whole seconds; `None` if it is not installed.
///
/// # Panics
/// If a request is not answered.
pub(crate) fn keep_alive(address: SocketAddr, seconds: u64) -> Option<Load> {
    programs::version("wrk", "-v")?;
    let output = Command::new("wrk")
        .args([
            "-t1",
            &format!("-c{KEPT_CLIENTS}"),
            &format!("-d{seconds}s"),
            "--latency",
            "--timeout=30s",
        ])
        .arg("-s")
        .arg(programs::source("report.lua"))
        .arg(format!("http://{address}/"))
        .output()
        .expect("wrk starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find_map(|line| line.strip_prefix("versus "));
    let numbers = line.map(|line| line.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>());
    let Some(Ok(&[requests, micros, p50, p99, p999, 0])) = numbers.as_ref().map(|n| n.as_deref())
    else {
        panic!("{address}: wrk says {said}{}", String::from_utf8_lossy(&output.stderr));
    };
    let [p50, p99, p999] = [p50, p99, p999].map(|micros| micros as f64);
    Some(Load { requests, elapsed: Duration::from_micros(micros), p50, p99, p999 })
}
