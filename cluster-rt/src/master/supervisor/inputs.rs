//! What the supervisor is told.

use std::{process::ExitStatus, time::Duration};

use crate::{
    endpoint::Endpoint,
    id::{ListenerId, WorkerId},
};

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// The master is up: begin.
    Start,
    /// The generation's zygote has begun to preload.
    ZygotePreloading { generation: u32 },
    /// The generation's zygote forks on request.
    ZygoteUp { generation: u32 },
    /// The generation's zygote has ended.
    ZygoteExited { generation: u32, reason: String },
    /// There is no process for the generation's zygote: for want of processes, memory or descriptors, or of a
    /// program.
    ZygoteNotStarted { generation: u32, reason: String },
    /// A worker's process exists.
    Spawned { worker: WorkerId, pid: u32 },
    /// A worker's process could not be made.
    SpawnFailed { worker: WorkerId, errno: i32 },
    /// The worker said hello in our protocol.
    Greeted { worker: WorkerId },
    /// The worker is about to run `main`.
    Online { worker: WorkerId },
    /// The worker bound a listener.
    Bound { worker: WorkerId, listener: ListenerId, addr: Endpoint },
    /// The worker waits for connections on this listener.
    Accepting { worker: WorkerId, listener: ListenerId },
    /// The worker dropped this listener.
    Unlistened { worker: WorkerId, listener: ListenerId },
    /// The worker said that it is ready.
    SaidReady { worker: WorkerId },
    /// The worker got TERM, or its own code asked for its end.
    StopAsked { worker: WorkerId },
    /// The worker's own code asked for another in its place.
    ReplaceAsked { worker: WorkerId },
    /// The worker's `main` has ended.
    MainEnded { worker: WorkerId, code: i32, panicked: bool },
    /// The worker closed its link without having ended.
    LinkClosed { worker: WorkerId },
    /// The worker broke the rules of link or queue.
    Misbehaved { worker: WorkerId, what: String },
    /// The worker was reaped.
    Reaped { worker: WorkerId, status: ExitStatus, lost: u64 },
    /// After `CloseListeners`: every connection that the kernel had accepted has been dispatched.
    ListenersClosed,
    /// After `CloseListeners`: connections wait, and no worker is there to serve them.
    ConnectionsWait,
    /// After `Look`: what the rows and the kernel say of the workers.
    Looked { signs: Vec<Signs> },
    /// Change the number of slots of the service with this name; without one, of the only service.
    Scale { order: OrderId, service: Option<String>, target: usize },
    /// Replace the slot's worker.
    Respawn { order: OrderId, slot: usize },
    /// Replace all workers by those of a new generation.
    Reload { order: OrderId },
    /// End gracefully with this exit code.
    Stop { code: i32 },
    /// An INT from the terminal: the first stops, a later one kills.
    Interrupt,
    /// End at once with this exit code.
    Kill { code: i32 },
    /// Time has passed.
    Tick,
}

/// Names an order until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OrderId(pub(crate) u64);

/// What a look finds about one worker. The first and the last but one are the worker's own words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signs {
    pub(crate) worker: WorkerId,
    /// Its heartbeat: any change is life; 0 before the first.
    pub(crate) beat: u64,
    /// How long it has been waiting for a processor since it was made.
    pub(crate) starved: Duration,
    /// Connections it has received.
    pub(crate) connections: u64,
    /// Its resident memory in bytes.
    pub(crate) rss: u64,
}
