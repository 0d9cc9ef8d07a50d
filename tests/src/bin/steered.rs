//! A server whose master is steered over a socket, and that can be deployed in versions.
//!
//! The master prints `orders to ADDRESS` and every event as `event TEXT`. A connection to it brings one
//! order in a line (`reload`, `scale N`, `respawn SLOT`, `stats`, `workers`, `block MILLISECONDS`) and
//! gets what came of it.
//! A worker answers `/` with `VERSION GENERATION SLOT`, `/pid`, `/slow` after 200 ms, `/readyz` with whether the cluster
//! stops; `/replace` asks for another in its place, `/hoard/MIB` keeps that much memory, `/orphan` leaves a process
//! behind, `/spin` and `/sleep` hang. How it behaves is marked behind its code.

use std::{process::ExitCode, time::Duration};

use axum::{Router, extract::Path, routing::get};
use cluster::{Master, Role, TcpListener, http::DrainLayer};
use cluster_tests::deploy::marks;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

#[cluster::main(workers = 2, respawn)]
async fn main(role: Role) -> ExitCode {
    match role {
        Role::Master(master) => {
            steer(master).await.expect("a listener");
            ExitCode::SUCCESS
        }
        Role::Worker(worker) => match serve(&worker).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("newcomer: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

async fn serve(worker: &cluster::Worker) -> std::io::Result<()> {
    tokio::spawn(async {
        cluster::stopping().await;
        println!("a worker hears of the stop");
    });
    let ((version, behaviour), slot) = (marks(), worker.slot());
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    match behaviour.as_str() {
        "crash" => return Err(std::io::Error::other("the database is not there")),
        "crash-in-2" if slot == 2 => return Err(std::io::Error::other("slot 2 cannot")),
        "hang" => std::future::pending().await,
        "elsewhere" => {
            let elsewhere = TcpListener::bind("127.0.0.2:0").await?;
            return axum::serve(elsewhere, Router::new()).await;
        }
        "die-late" => {
            tokio::spawn(async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                std::process::abort();
            });
        }
        _ => {}
    }
    let listener = TcpListener::bind(address).await?;
    let generation = worker.generation();
    let app = Router::new()
        .route("/", get(move || async move { format!("{version} {generation} {slot}\n") }))
        .route("/pid", get(|| async { format!("{}\n", std::process::id()) }))
        .route("/spin", get(spin))
        .route("/sleep", get(sleep))
        .route("/slow", get(slow))
        .route("/readyz", get(|| async { format!("{}\n", !cluster::is_stopping()) }))
        .route("/replace", get(replace))
        .route("/hoard/{mib}", get(hoard))
        .route("/orphan", get(orphan))
        .layer(DrainLayer);
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

async fn spin() {
    loop {
        std::hint::spin_loop();
    }
}

/// Blocks the runtime's only thread without using a processor.
async fn sleep() {
    std::thread::sleep(Duration::from_secs(600));
}

async fn replace() -> String {
    cluster::worker().replace();
    format!("{}\n", std::process::id())
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_millis(200)).await;
    "slow\n"
}

/// Leaves a process that ends by itself and that nobody waits for.
async fn orphan() -> String {
    let shell = std::process::Command::new("sh").args(["-c", "sleep 0.1 & exit 0"]).status();
    format!("{}\n", shell.expect("a shell"))
}

async fn hoard(Path(mib): Path<usize>) -> String {
    let hoard = vec![1_u8; mib << 20].leak();
    format!("{}\n", hoard.len())
}

async fn steer(master: Master) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("orders to {}", listener.local_addr()?);
    let mut events = master.events();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            println!("event {event}");
        }
    });
    loop {
        let (stream, _) = listener.accept().await?;
        let master = master.clone();
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let words: Vec<&str> = line.split_whitespace().collect();
            let answer = carry_out(&master, &words).await;
            stream.get_mut().write_all(answer.as_bytes()).await
        });
    }
}

async fn carry_out(master: &Master, words: &[&str]) -> String {
    let number = || words.get(1).and_then(|word| word.parse().ok()).expect("a number");
    let outcome = match words.first().copied() {
        Some("reload") => master.reload().await.map(|done| format!("{done:?}")),
        Some("scale") => master.scale(number()).await.map(|done| format!("{done:?}")),
        Some("respawn") => master.respawn(number()).await.map(|done| format!("{done:?}")),
        Some("stats") => master.stats().await.map(|stats| stats.to_string()),
        Some("workers") => Ok(format!("{:?}", master.workers())),
        Some("block") => {
            std::thread::sleep(Duration::from_millis(number() as u64));
            Ok("blocked".to_owned())
        }
        other => panic!("no order: {other:?}"),
    };
    match outcome {
        Ok(done) => format!("ok {done}"),
        Err(error) => format!("error {error}"),
    }
}
