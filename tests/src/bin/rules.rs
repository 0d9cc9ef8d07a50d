//! A program that is deployed, and whose listener is shared as the version that is marked behind its code says.
//!
//! The version is a schedule, or `KEY:SLOT` for by-line with this table and clients that may take their time; with
//! the behaviour `fails` the worker of slot 1, which is not the one on trial, does not start. It says `slot S` to every
//! client at once.

use std::{io, time::Duration};

use cluster::{
    Schedule, TcpListener,
    net::{ListenOptions, Peek, PeekOptions},
};
use cluster_tests::deploy::marks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[cluster::main(workers = 2, respawn, give_up = 1)]
async fn main() -> io::Result<()> {
    let (version, behaviour) = marks();
    if behaviour == "fails" && cluster::worker().slot() == 1 {
        return Err(io::Error::other("as it was told"));
    }
    let listener = TcpListener::bind_with("127.0.0.1:0", &options(&version)).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let slot = cluster::worker().slot();
            stream.write_all(format!("slot {slot}\n").as_bytes()).await?;
            stream.read_to_end(&mut Vec::new()).await
        });
    }
}

fn options(version: &str) -> ListenOptions {
    let options = ListenOptions::new();
    let patient = PeekOptions::new().timeout(Duration::from_secs(60));
    match version {
        "round-robin" => options.schedule(Schedule::RoundRobin),
        "kernel" => options.schedule(Schedule::Kernel),
        table => {
            let (key, slot) = table.split_once(':').expect("a key and its slot");
            let table = [(key, slot.parse().expect("a slot"))];
            options.schedule(Schedule::ByKey(Peek::Line)).peek(patient.table(table))
        }
    }
}
