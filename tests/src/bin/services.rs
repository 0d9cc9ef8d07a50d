//! Three services and a steered master: `web` answers over HTTP, `jobs` by message, `extra` as `EXTRA` says.
//!
//! The master prints `orders to ADDRESS` and every event as `event TEXT`. A connection to it brings one order
//! in a line (`scale N`, `scale-service NAME N`, `reload`, `stats`, `workers`, `ask SERVICE`,
//! `cast SERVICE`) and gets what came of it. `web` answers `/` with `SLOT SERVICE TABLE`, and `/job` with
//! what a worker of `jobs` says; the table is preloaded. `extra` fails at its start, binds where `web` has
//! bound, or waits.

use std::sync::OnceLock;

use axum::{Router, routing::get};
use cluster::{Address, ClusterMessage, Master, TcpListener, http::DrainLayer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = String)]
struct Who;

/// To a service; each worker tells the master that it came.
#[derive(Serialize, Deserialize, ClusterMessage)]
struct Cast;

#[derive(Serialize, Deserialize, ClusterMessage)]
struct Came(usize);

struct Table(u32);

fn load() -> std::io::Result<Table> {
    Ok(Table(42))
}

#[cluster::main(
    respawn,
    preload = load,
    services(
        web(workers = 2, after = jobs, schedule = "sticky"),
        kinds::jobs = 2,
        extra(workers = 1, optional, give_up = 2, backoff = "10ms..20ms", grace = "5s"),
    )
)]
async fn main(master: Master) -> std::io::Result<()> {
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
            let answer = match carry_out(&master, &words).await {
                Ok(done) => format!("ok {done}"),
                Err(error) => format!("error {error}"),
            };
            stream.get_mut().write_all(answer.as_bytes()).await
        });
    }
}

async fn carry_out(master: &Master, words: &[&str]) -> Result<String, cluster::Error> {
    let number = |at: usize| words[at].parse::<usize>().expect("a number");
    match words[0] {
        "scale" => master.scale(number(1)).await.map(|done| format!("{done:?}")),
        "scale-service" => {
            master.scale_service(words[1], number(2)).await.map(|done| format!("{done:?}"))
        }
        "reload" => master.reload().await.map(|done| format!("{done:?}")),
        "stats" => master.stats().await.map(|stats| stats.to_string()),
        "workers" => {
            let of =
                |w: &cluster::WorkerStatus| format!("{}:{}", w.slot, w.service.unwrap_or("none"));
            Ok(master.workers().iter().map(of).collect::<Vec<_>>().join(" "))
        }
        "ask" => master.request(Address::Service(name(words[1])), &Who).await,
        "cast" => {
            let mut came = master.subscribe::<Came>();
            master.broadcast_to(words[1], &Cast).await?;
            let mut slots = Vec::new();
            for _ in 0..number(2) {
                slots.extend(came.recv().await.transpose()?.map(|mail| mail.body.0));
            }
            slots.sort_unstable();
            Ok(format!("{slots:?}"))
        }
        other => panic!("no order: {other:?}"),
    }
}

/// A name that is made at run time.
fn name(name: &str) -> &'static str {
    name.to_owned().leak()
}

/// Where this process listens, for whoever wants to bind the same.
static ADDRESS: OnceLock<String> = OnceLock::new();

async fn web(table: &'static Table) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    ADDRESS.get_or_init(|| listener.local_addr().map_or_else(|e| e.to_string(), |a| a.to_string()));
    tokio::spawn(answer(|| ADDRESS.get().cloned().unwrap_or_default()));
    let worker = cluster::worker();
    let own = format!("{} {} {}", worker.slot(), worker.service().unwrap_or("none"), table.0);
    let app =
        Router::new().route("/", get(|| async { own })).route("/job", get(job)).layer(DrainLayer);
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

async fn job() -> String {
    match cluster::request(Address::Service("jobs"), &Who).await {
        Ok(who) => who,
        Err(error) => format!("no answer: {error}"),
    }
}

async fn answer(what: impl Fn() -> String) -> Result<(), cluster::Error> {
    let mut asked = cluster::subscribe::<Who>();
    while let Some(mail) = asked.recv().await {
        mail?.reply.send(&what()).await?;
    }
    Ok(())
}

mod kinds {
    use super::{Address, Came, Cast, answer};

    pub(super) async fn jobs() -> Result<(), cluster::Error> {
        let slot = cluster::worker().slot();
        tokio::spawn(answer(move || format!("jobs {slot}")));
        let mut cast = cluster::subscribe::<Cast>();
        tokio::task::yield_now().await;
        cluster::set_ready();
        loop {
            let mail = tokio::select! {
                biased;
                mail = cast.recv() => mail,
                () = cluster::draining() => return Ok(()),
            };
            let Some(mail) = mail else { return Ok(()) };
            mail?;
            cluster::send(Address::Master, &Came(slot)).await?;
        }
    }
}

async fn extra() -> std::io::Result<()> {
    match std::env::var("EXTRA").as_deref() {
        Ok("fails") => return Err(std::io::Error::other("there is no database")),
        Ok("binds the same") => {
            cluster::set_ready();
            let same = loop {
                // Nobody may be there yet.
                match cluster::request(Address::Service("web"), &Who).await {
                    Ok(address) if !address.is_empty() => break address,
                    _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                }
            };
            let bound = TcpListener::bind(&same).await;
            println!("extra bound the same: {:?}", bound.map(drop).map_err(|error| error.kind()));
            let other = TcpListener::bind("127.0.0.1:0").await?;
            println!("extra bound another: {}", other.local_addr()?.to_string() != same);
        }
        _ => cluster::set_ready(),
    }
    cluster::draining().await;
    Ok(())
}
