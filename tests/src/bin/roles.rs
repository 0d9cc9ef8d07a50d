//! Says in `init`, in the master's branch and in a worker what the process knows of itself; then the
//! worker binds without accepting, until USR1 makes it say that it is ready. The master's branch says
//! what happens.
//!
//! The worker answers `/stop` by asking for its own end, on a second listener that it announces with
//! `serving ADDRESS`.

use axum::{Router, routing::get};
use cluster::{Event, Master, Role, TcpListener, Worker};
use tokio::signal::unix::{SignalKind, signal};

#[cluster::main(workers = 1, respawn, init = init)]
async fn main(role: Role) -> std::io::Result<()> {
    match role {
        Role::Master(master) => watch(master).await,
        Role::Worker(worker) => serve(worker).await?,
    }
    Ok(())
}

fn init() {
    let worker = cluster::try_worker().is_some();
    println!("init: {}, try_worker {worker}", predicates());
}

fn predicates() -> String {
    format!("is_master {}, is_worker {}", cluster::is_master(), cluster::is_worker())
}

async fn watch(master: Master) {
    let worker = cluster::try_worker().is_some();
    println!("master: {}, try_worker {worker}", predicates());
    let bound = TcpListener::bind("127.0.0.1:0").await;
    println!("bind in the master: {}", bound.expect_err("not a worker"));
    let mut events = master.events();
    while let Some(event) = events.recv().await {
        match event {
            Event::Listening { slot, addr, .. } => println!("event: slot {slot} listens on {addr}"),
            Event::Ready { slot, .. } => println!("event: slot {slot} ready"),
            _ => {}
        }
    }
}

async fn serve(worker: Worker) -> std::io::Result<()> {
    let same = cluster::try_worker().is_some_and(|w| w.id() == worker.id());
    println!("worker: {}, try_worker {same}", predicates());
    let (slot, id, generation) = (worker.slot(), worker.id(), worker.generation());
    println!("worker {id} of slot {slot}, generation {generation}: {}", flavor().await);
    let mut user = signal(SignalKind::user_defined1())?;
    let _never_accepted_on = TcpListener::bind("127.0.0.1:0").await?;
    user.recv().await;
    cluster::set_ready();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("serving {}", listener.local_addr()?);
    let stop = || async {
        cluster::worker().stop();
        "stopping\n"
    };
    let app = Router::new().route("/stop", get(stop));
    axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
}

/// The runtime's kind and size, and whether `spawn_local` works anywhere, if it is to.
async fn flavor() -> String {
    let handle = tokio::runtime::Handle::current();
    let threads = handle.metrics().num_workers();
    let kind = format!("{:?}, {threads} threads", handle.runtime_flavor());
    if std::env::var("CLUSTER_FLAVOR").as_deref() != Ok("local") {
        return kind;
    }
    let shared = std::rc::Rc::new(1);
    let local = tokio::task::spawn_local(async move { *shared });
    format!("{kind}, spawn_local {}", local.await.is_ok())
}
