//! `Stats`: the cluster in numbers, as plain values and as text.
//!
//! Collects nothing itself.

mod prometheus;

use std::{fmt, time::Duration};

use crate::{
    event::{ExitCause, WorkerState},
    id::WorkerId,
};

/// The cluster in numbers at one moment, from [`Master::stats`](crate::Master::stats).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// The generation of the last reload that went well, 1 before the first.
    pub generation: u32,
    /// Workers that were replaced or scaled away and still finish what they have.
    pub departed: usize,
    /// Messages that came for the master and that it could not read: its type of that name has another
    /// layout.
    pub unread: u64,
    /// By slot.
    pub slots: Vec<SlotStats>,
}

/// One slot in numbers.
///
/// Counts are over all workers that ever had the slot, and only grow; those of connections are what the
/// workers say.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SlotStats {
    /// The slot.
    pub slot: usize,
    /// The service that it is of; `None` in a cluster that names none.
    pub service: Option<&'static str>,
    /// Who sits in it; `None` while its next worker is waited for.
    pub worker: Option<WorkerId>,
    /// That worker's process id.
    pub pid: Option<u32>,
    /// The generation that worker was made from.
    pub generation: Option<u32>,
    /// Where that worker is in its life.
    pub state: Option<WorkerState>,
    /// Connections received.
    pub received: u64,
    /// Connections open now.
    pub active: u64,
    /// Connections closed in order.
    pub served: u64,
    /// Connections that were open in a worker when it ended.
    pub lost: u64,
    /// Connections that wait in the slot's queues.
    pub waiting: u64,
    /// Messages that came for the slot's workers and that they could not read: the type of that name has
    /// another layout there, or another generation had sent them and nobody subscribed to them until they
    /// were dropped.
    pub unread: u64,
    /// Workers that were spawned because another had ended.
    pub respawns: u64,
    /// Why the last worker that ended did.
    pub last_exit: Option<ExitCause>,
    /// How long ago the worker gave a sign of life, to an eighth of `hang_timeout`; `None` without that
    /// option.
    pub heartbeat_age: Option<Duration>,
    /// Resident memory of the worker in bytes, shared pages included.
    pub rss: Option<u64>,
    /// Its share of that in bytes: a page that n processes have counts 1/n (`Pss` in `proc(5)`).
    pub pss: Option<u64>,
}

impl Stats {
    /// The same in the text format that Prometheus scrapes (version 0.0.4): `cluster_generation` and some more about the
    /// whole, and about each slot, with the labels `slot` and, where there are services, `service`,
    /// `cluster_connections_received_total`, `.._active`, `.._served_total`, `.._lost_total`, `.._waiting`,
    /// `cluster_worker_ready`, `.._respawns_total`, `.._heartbeat_age_seconds`, `.._resident_bytes`,
    /// `.._proportional_bytes` and `cluster_messages_unread_total`. What is `None` has no line.
    ///
    /// To be served by the master's branch, which has the numbers, on a listener of its own:
    ///
    /// ```no_run
    /// # #[cfg(feature = "axum")] mod example {
    /// use axum::{Router, routing::get};
    ///
    /// async fn watch(master: cluster::Master) -> std::io::Result<()> {
    ///     let metrics = async move || master.stats().await.map_or_else(|e| e.to_string(), |s| s.to_prometheus());
    ///     let listener = tokio::net::TcpListener::bind("127.0.0.1:9100").await?;
    ///     axum::serve(listener, Router::new().route("/metrics", get(metrics))).await
    /// }
    /// # }
    /// ```
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        // A String takes everything.
        let _ = prometheus::write(self, &mut text);
        text
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, departed, unread, slots } = self;
        write!(
            f,
            "generation {generation}, {} slots, {departed} departed and draining",
            slots.len()
        )?;
        if *unread > 0 {
            write!(f, ", {unread} messages not read by the master")?;
        }
        // What is shared is in it once, so that the sum is what the workers take together.
        let pss: Vec<u64> = slots.iter().filter_map(|slot| slot.pss).collect();
        if !pss.is_empty() {
            write!(f, ", pss {} KiB in sum", pss.iter().sum::<u64>() / 1024)?;
        }
        slots.iter().try_for_each(|slot| write!(f, "\n  {slot}"))
    }
}

impl fmt::Display for SlotStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.slot)?;
        if let Some(service) = self.service {
            write!(f, " ({service})")?;
        }
        f.write_str(": ")?;
        match (self.worker, self.pid, self.state) {
            (Some(worker), pid, Some(state)) => {
                let state = match state {
                    WorkerState::Starting => "starting",
                    WorkerState::Ready => "ready",
                    WorkerState::Draining => "draining",
                    WorkerState::Exited => "exited",
                };
                write!(f, "worker {worker}, pid {}, {state}", pid.unwrap_or(0))?;
            }
            _ => f.write_str("no worker")?,
        }
        let Self { received, active, served, lost, waiting, respawns, .. } = self;
        write!(
            f,
            "; connections: {received} received, {active} active, {served} served, {lost} lost, \
             {waiting} waiting; {respawns} respawns"
        )?;
        if self.unread > 0 {
            write!(f, "; {} messages not read", self.unread)?;
        }
        if let Some(generation) = self.generation {
            write!(f, "; generation {generation}")?;
        }
        if let Some(exit) = self.last_exit {
            write!(f, "; last exit {exit:?}")?;
        }
        if let Some(age) = self.heartbeat_age {
            write!(f, "; heartbeat {} ms ago", age.as_millis())?;
        }
        if let (Some(rss), Some(pss)) = (self.rss, self.pss) {
            write!(f, "; rss {} KiB, pss {} KiB", rss / 1024, pss / 1024)?;
        }
        Ok(())
    }
}
