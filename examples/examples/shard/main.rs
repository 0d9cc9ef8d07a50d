//! A key-value store whose keys are split over the workers: any worker answers for any key.
//!
//! ```text
//! cargo run --release --example shard                    # or: ... -- 127.0.0.1:9000
//! curl -X PUT --data red http://127.0.0.1:8080/keys/apple
//! curl -i http://127.0.0.1:8080/keys/apple               # `slot:` tells who keeps it
//! kill -TTIN <the master's pid>                          # a worker more: its share of the keys moves to it
//! kill -TTOU <the master's pid>                          # and back; a reload (HUP) moves them too
//! kill -9 <a worker's pid>                               # its keys are lost (410), and no others
//! ```
//!
//! Whoever has the connection asks the owner of the key by `cluster::request_shard`. `store` knows of which keys
//! a worker may speak; `moving` brings values to their new owners. A key that is on its way is waited for, at last
//! answered with 503, and never with anything that is not its newest value.

mod moving;
mod registry;
mod store;

use std::time::Duration;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use cluster::{ClusterMessage, Mail, Role, TcpListener, http::DrainLayer};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time};

use self::store::{Operation, Outcome, Store};

const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 32 << 10;
/// How long a client waits for a key that is on its way.
const PATIENCE: Duration = Duration::from_secs(3);
/// How soon to ask again whoever has not heard of a change yet.
const PAUSE: Duration = Duration::from_millis(5);

/// From whoever has the connection to the owner of the key.
#[derive(Serialize, Deserialize, ClusterMessage)]
#[message(reply = Answer)]
struct Ask {
    key: String,
    operation: Operation,
}

#[derive(Serialize, Deserialize, ClusterMessage)]
struct Answer {
    slot: usize,
    outcome: Outcome,
}

#[cluster::main(respawn)]
async fn main(role: Role) -> std::io::Result<()> {
    match role {
        Role::Master(master) => registry::keep(master).await,
        Role::Worker(_) => serve().await,
    }
}

async fn serve() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let worker = cluster::worker();
    let changes = worker.shard_changes();
    // A watch, so that whoever waits for a key is woken when it has come.
    let store = watch::Sender::new(Store::new(changes.last()));
    tokio::spawn(answer(store.clone()));
    tokio::spawn(moving::give(store.clone()));
    tokio::spawn(moving::gather(store.clone(), changes));
    let listener = TcpListener::bind(address).await?;
    if worker.id().as_u64() == 1 {
        println!("listening on http://{}", listener.local_addr()?);
    }
    let kept = store.clone();
    let app = Router::new()
        .route("/keys/{key}", get(get_key).put(set_key))
        .route("/shard", get(move || std::future::ready(format!("{:?}\n", *kept.borrow()))))
        .layer(DefaultBodyLimit::max(VALUE_BYTES_MAX))
        .layer(DrainLayer);
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await?;
    moving::hand_over(&store).await
}

async fn get_key(Path(key): Path<String>) -> Response {
    ask(Ask { key, operation: Operation::Get }).await
}

async fn set_key(Path(key): Path<String>, value: String) -> Response {
    ask(Ask { key, operation: Operation::Set(value) }).await
}

/// Asks the owner until somebody says that it is the one.
async fn ask(ask: Ask) -> Response {
    let key = &ask.key;
    if key.len() > KEY_BYTES_MAX {
        return (StatusCode::BAD_REQUEST, "the key is too long\n").into_response();
    }
    let begun = time::Instant::now();
    loop {
        let answer = match cluster::request_shard(key, &ask).await {
            Ok(answer) => answer,
            // The owner has died, or died just now: a set may have been done before.
            Err(error) => return unavailable(format!("nobody answers for {key:?}: {error}\n")),
        };
        let (status, text) = match answer.outcome {
            Outcome::Value(value) => (StatusCode::OK, value),
            Outcome::Kept => (StatusCode::NO_CONTENT, String::new()),
            Outcome::Nothing => (StatusCode::NOT_FOUND, format!("nothing is kept under {key:?}\n")),
            Outcome::Lost => (StatusCode::GONE, lost(key, answer.slot)),
            Outcome::Full => (StatusCode::INSUFFICIENT_STORAGE, "the store is full\n".to_owned()),
            Outcome::Elsewhere | Outcome::Moving if begun.elapsed() < PATIENCE => {
                time::sleep(PAUSE).await;
                continue;
            }
            Outcome::Elsewhere | Outcome::Moving => {
                return unavailable(format!("{key:?} is on its way to another worker\n"));
            }
        };
        return (status, [("slot", answer.slot.to_string())], text).into_response();
    }
}

fn unavailable(text: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")], text).into_response()
}

fn lost(key: &str, slot: usize) -> String {
    format!(
        "lost: {key:?}, if it was ever set: a worker died that kept keys of slot {slot}; set it again\n"
    )
}

/// Answers for the keys of this worker.
async fn answer(store: watch::Sender<Store>) {
    let mut asked = cluster::subscribe::<Ask>();
    while let Some(mail) = asked.recv().await {
        let Ok(Mail { body: Ask { key, operation }, reply, .. }) = mail else { continue };
        let store = store.clone();
        let act = async move {
            let here = store.subscribe();
            await_key(here, &key).await;
            let mut outcome = Outcome::Moving;
            store.send_if_modified(|store| {
                outcome = store.act(&key, operation);
                false
            });
            // Whoever asked may have gone.
            let _ = reply.send(&Answer { slot: cluster::worker().slot(), outcome }).await;
        };
        tokio::spawn(act);
    }
}

/// Waits, not for long, while the key belongs here and has not come yet.
async fn await_key(mut store: watch::Receiver<Store>, key: &str) {
    let known = store.wait_for(|store| !store.awaits(key));
    // What has not come by then is answered as such.
    let _ = time::timeout(PATIENCE, known).await;
}
