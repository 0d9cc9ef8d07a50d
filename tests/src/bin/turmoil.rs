//! A server that can be hurt in many ways, and that checks every message: for the chaos tests.
//!
//! The master prints `orders to ADDRESS`; a connection brings `reload` or `scale N` and gets what came of it.
//! A worker answers `/echo/NUMBER/BYTES` with `NUMBER VERSION SLOT TEXT`, the text being the number's pattern.
//! `/spin` and `/quit` end it, `/hoard/MIB` keeps memory, `/descriptors/MS` takes every descriptor for a
//! while, `/storm/COUNT` broadcasts that many messages. Whoever gets a message that is damaged, out of order
//! or missing without a word prints `violation: ...`. How a worker begins is marked behind its code. In the file
//! that `RECEIPTS` names, a worker leaves a receipt of every connection that it accepts or closes.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, extract::Path, routing::get, serve::Listener};
use cluster::{
    ClusterMessage, Mail, Master, Role, TcpListener, TcpStream, broadcast, http::DrainLayer,
    subscribe,
};
use cluster_tests::{
    deploy::marks,
    pattern::{is_pattern, pattern},
    receipts::{self, Open, Receipts},
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf},
    sync::Mutex,
};

/// The n-th message of its sender, and the pattern of n.
#[derive(Serialize, Deserialize, ClusterMessage)]
struct Gust(u64, String);

const GUST_BYTES: usize = 4_000;

#[cluster::main(workers = 3, respawn)]
async fn main(role: Role) -> io::Result<()> {
    match role {
        Role::Master(master) => {
            tokio::spawn(endure("the master".to_owned()));
            steer(master).await
        }
        Role::Worker(worker) => serve(&worker).await,
    }
}

async fn serve(worker: &cluster::Worker) -> io::Result<()> {
    let ((version, behaviour), slot) = (marks(), worker.slot());
    match behaviour.as_str() {
        "crash" => return Err(io::Error::other("the database is not there")),
        "hang" => std::future::pending().await,
        "die-late" => {
            tokio::spawn(async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                std::process::abort();
            });
        }
        _ => {}
    }
    tokio::spawn(endure(format!("worker {} in slot {slot}", worker.id())));
    let receipts = std::env::var(receipts::VARIABLE).map_err(io::Error::other)?;
    let receipts = Receipts::open(receipts.as_ref())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let listener = Receipted { listener, receipts, worker: worker.id().as_u64() };
    let echo = move |Path((number, bytes)): Path<(u64, usize)>| {
        let version = version.clone();
        async move { format!("{number} {version} {slot} {}", pattern(number, bytes)) }
    };
    let app = Router::new()
        .route("/echo/{number}/{bytes}", get(echo))
        .route("/spin", get(spin))
        .route("/quit", get(quit))
        .route("/hoard/{mib}", get(hoard))
        .route("/descriptors/{ms}", get(descriptors))
        .route("/storm/{count}", get(storm))
        .layer(DrainLayer);
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

/// A listener that leaves receipts.
struct Receipted {
    listener: TcpListener,
    receipts: Receipts,
    worker: u64,
}

/// A connection that is noted as closed before it is.
struct Watched {
    _open: Open,
    stream: TcpStream,
}

impl Listener for Receipted {
    type Io = Watched;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Watched, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let open = self.receipts.accepted(peer, self.worker).expect("room in a file");
        (Watched { _open: open, stream }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

async fn spin() {
    loop {
        std::hint::spin_loop();
    }
}

async fn quit() {
    std::process::exit(3);
}

async fn hoard(Path(mib): Path<usize>) -> String {
    let hoard = vec![1_u8; mib << 20].leak();
    format!("{}\n", hoard.len())
}

async fn descriptors(Path(ms): Path<u64>) {
    tokio::spawn(async move {
        let files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        tokio::time::sleep(Duration::from_millis(ms)).await;
        drop(files);
    });
}

/// Locked by the storm that blows, so that the numbers go out in order.
static NEXT_GUST: Mutex<u64> = Mutex::const_new(0);

async fn storm(Path(count): Path<u64>) {
    tokio::spawn(async move {
        let mut next = NEXT_GUST.lock().await;
        for _ in 0..count {
            let number = *next;
            // The cluster is ending.
            let Ok(()) = broadcast(&Gust(number, pattern(number, GUST_BYTES))).await else {
                return;
            };
            *next += 1;
        }
    });
}

/// Checks what comes until the end of this process.
async fn endure(who: String) {
    let mut gusts = subscribe::<Gust>();
    let mut next: HashMap<String, u64> = HashMap::new();
    // What was missed without a word is a gap that no lag explains.
    let (mut came, mut lagged, mut gaps) = (0_u64, 0, 0);
    while let Some(mail) = gusts.recv().await {
        came += 1;
        if came % 5_000 == 0 {
            println!("{who} has {came} messages, missed {lagged}");
        }
        match mail {
            Ok(Mail { from, body: Gust(number, text), .. }) => {
                if text.len() != GUST_BYTES || !is_pattern(number, &text) {
                    println!("violation: {who}: number {number} of {from} is damaged");
                }
                let expected = next.insert(from.to_string(), number + 1).unwrap_or(number);
                gaps += number.saturating_sub(expected);
                if number < expected || gaps > lagged {
                    println!(
                        "violation: {who}: {from} sent {number}, expected {expected}; {gaps} missed, {lagged} told"
                    );
                    gaps = lagged;
                }
            }
            Err(error) => match error.is_lagged() {
                Some(count) => lagged += count,
                None => println!("violation: {who}: {error}"),
            },
        }
    }
}

async fn steer(master: Master) -> io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("orders to {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let answer = match line.trim().split_once(' ') {
            Some(("scale", count)) => {
                let count = count.parse().expect("a number");
                master.scale(count).await.map(|done| format!("{done:?}"))
            }
            _ => master.reload().await.map(|done| format!("{done:?}")),
        };
        let answer = answer.map_or_else(|error| format!("error {error}"), |ok| format!("ok {ok}"));
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
}
