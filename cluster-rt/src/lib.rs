//! One attribute turns an ordinary `main` into a supervised, multi-process service.
//! (crate docs to come)

#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod config;
mod event;
mod handoff;
#[cfg(feature = "axum")]
pub mod http;
mod id;
mod link;
mod master;
mod net;
mod policy;
mod sys;
mod wire;
mod worker;
mod zygote;

#[doc(inline)]
pub use cluster_macros::main;

#[cfg(feature = "axum")]
pub use self::net::WithConnectInfo;
pub use self::{
    builder::{Builder, Role},
    config::{Flavor, Respawn},
    event::{Event, ExitCause, WorkerState, WorkerStatus},
    id::WorkerId,
    master::{Events, Master, Stopped, Stopping, is_master},
    net::{
        ConnGuard, Incoming, OwnedReadHalf, OwnedWriteHalf, ReuniteError, TcpListener, TcpStream,
    },
    worker::{Draining, Worker, draining, is_worker, set_ready, try_worker, worker},
};
