//! One attribute turns an ordinary `main` into a supervised, multi-process service.
//!
//! ```no_run
//! # #[cfg(feature = "axum")] mod example {
//! use axum::{Router, routing::get};
//!
//! #[cluster::main(workers = 4, respawn)]
//! async fn main() -> std::io::Result<()> {
//!     let listener = cluster::TcpListener::bind("127.0.0.1:8080").await?;
//!     let slot = cluster::worker().slot();
//!     let app = Router::new().route("/", get(move || async move { format!("worker {slot}\n") }));
//!     axum::serve(listener, app).with_graceful_shutdown(cluster::draining()).await
//! }
//! # }
//! # fn main() {}
//! ```
//!
//! The process that was started becomes the *master*. It owns the listening sockets, hands each
//! connection to the *worker* whose turn it is, replaces workers that die, and stops them all without
//! losing a connection. Each worker is a process of its own that runs `main` on a runtime of its own.
//!
//! # Where things are
//!
//! * [`main`] is the attribute, with every option; [`Builder`] the same without it.
//! * In a worker: [`TcpListener`], [`TcpStream`], [`UnixListener`], [`UdpSocket`], with
//!   [`net::ListenOptions`] and a [`Schedule`]; [`blocking`] for a `main` that is not async;
//!   [`draining()`], [`stopping()`], [`set_ready()`], [`worker()`]. With the feature `axum` `axum::serve` on a listener
//!   and `http::DrainLayer`; with the feature `tonic` its server on [`TcpListener::incoming`]. The README has a recipe
//!   for each of several more frameworks.
//! * Shared by all workers: what `preload = load` makes, or [`Builder::preload`].
//! * Between processes: [`send()`], [`broadcast()`], [`request()`] and [`subscribe()`], for what derives
//!   [`ClusterMessage`](derive@ClusterMessage).
//! * Keys of which each belongs to one worker: [`shard_of()`], [`request_shard()`], [`Worker::shard`], and
//!   [`Splitter`] for other rules than a hash.
//! * In the master: [`Role`] or `master = ...` give its branch a [`Master`], for [`Event`]s and orders.
//!
//! # Guarantees
//!
//! * A listening socket stays open while workers crash and are replaced: nobody is refused.
//! * A connection that waits for a worker is served by another if that worker dies or hangs.
//! * A stop answers everything that the kernel had accepted, and ends by a deadline.
//! * When the master ends, however it does, every other process of the cluster ends too.
//!
//! # Limits
//!
//! Linux 5.4 or later. `main` runs once in each worker and not in the master, so state in memory is each
//! worker's own. A connection is lost when its worker dies while serving it. Code before
//! [`Builder::run`] runs in master and zygote; under the attribute there is none.
//!
//! # Testing
//!
//! Handlers and other functions are tested as ever; [`try_worker`] is `None` there. With [`Builder`] and `workers(0)` a
//! `#[test]` runs `main` in its own process, several of them side by side. The program itself is tested as any: started by
//! `CARGO_BIN_EXE_name`, with port 0 and the address that it prints, and ended by TERM; it takes its processes with it.
//! More than 0 workers inside a `#[test]` are refused: its thread is not the one that can fork.
//!
//! ```no_run
//! #[test]
//! fn answers() {
//!     let code = cluster::Builder::new().workers(0).run(async || {
//!         let listener = cluster::TcpListener::bind("127.0.0.1:0").await.expect("a port");
//!         // Connect to listener.local_addr() and look.
//!     });
//!     assert_eq!(code, std::process::ExitCode::SUCCESS);
//! }
//! ```
//!
//! # What trips people up
//!
//! * `#[tokio::main]` left beside `#[cluster::main]`: remove it, the attribute brings the runtime.
//! * `tokio::net::TcpListener` left in `main`: the first worker has the port, every other one fails to start with
//!   "address in use". [`TcpListener`] is the one that is shared.
//! * A worker is ready when it first accepts. Bind everything before: what fails after that is a crash that has lost
//!   connections, and no failed start.
//! * A request handler that waits for [`Master::reload`], `respawn` or `scale` waits for itself: its own worker drains
//!   until the request is over. Answer first, or serve such requests from the master's branch.
//! * Without `with_graceful_shutdown(cluster::draining())` an axum worker ends only when its last
//!   connection is closed, or at `grace`.
//! * `ConnectInfo<SocketAddr>` needs `TcpListener::with_connect_info` (feature `axum`).
//! * A module of your own called `cluster` hides the crate: `use ::cluster as rt; #[rt::main(crate = rt)]`.

#![cfg_attr(docsrs, feature(doc_cfg))]

// The derive names this crate as its users do, in the unit tests too.
#[cfg(any(test, fuzzing))]
extern crate self as cluster;

#[cfg(not(target_os = "linux"))]
compile_error!("cluster-rt needs Linux: it is built on descriptor passing, pidfds and subreapers");

#[doc(hidden)]
pub mod __private;
pub mod blocking;
mod builder;
mod config;
mod endpoint;
mod error;
mod event;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod handoff;
#[cfg(feature = "axum")]
pub mod http;
mod id;
mod link;
mod listen;
mod mail;
mod master;
mod message;
pub mod net;
mod notify;
mod policy;
mod preload;
pub mod process;
mod shard;
mod stats;
mod sys;
mod wire;
mod worker;
mod zygote;

#[doc(inline)]
pub use cluster_macros::{ClusterMessage, child, main};

#[cfg(feature = "axum")]
pub use self::net::WithConnectInfo;
pub use self::{
    builder::{Builder, Entry, Role, ServiceOptions},
    config::{Flavor, Recycle, Respawn},
    endpoint::Schedule,
    error::Error,
    event::{Event, ExitCause, WorkerState, WorkerStatus},
    id::WorkerId,
    master::{Events, Master, Order, Reloaded, Replaced, Scaled, Stopped, is_master},
    message::{
        Address, ClusterMessage, ClusterReply, ClusterRequest, Mail, Mailbox, Reply, Requesting,
        Sending, Shape, broadcast, broadcast_to, request, send, send_with_fd, subscribe, try_send,
    },
    net::{
        ConnGuard, Incoming, OwnedReadHalf, OwnedWriteHalf, ReuniteError, TcpListener, TcpStream,
        UdpSocket, UnixListener, UnixStream,
    },
    preload::PreloadFn,
    shard::{
        HashSplitter, RangeSplitter, Shard, ShardChanges, Splitter, TableSplitter, request_shard,
        request_shard_in, shard_of,
    },
    stats::{SlotStats, Stats},
    worker::{
        Draining, Stopping, Worker, draining, is_stopping, is_worker, set_ready, stopping,
        try_worker, worker,
    },
};
