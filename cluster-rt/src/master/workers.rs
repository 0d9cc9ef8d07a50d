//! The master's table of workers: what it holds of each, and the pool of scoreboard rows.
//!
//! Bookkeeping only; who lives, and what follows from a death, is the supervisor's.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use super::dispatcher::Rules;
use crate::{
    id::{ListenerId, WorkerId},
    link::{Link, Outbox, SendError},
    sys::{
        scoreboard::{ROWS, Row, Scoreboard},
        wait::Child,
    },
    wire::{FromWorker, Limits, ToWorker},
};

/// A worker from the master's side.
#[derive(Debug)]
pub(super) struct WorkerHandle {
    pub(super) slot: usize,
    /// As the supervisor numbers them.
    pub(super) service: usize,
    pub(super) berth: usize,
    pub(super) generation: u32,
    pub(super) row: u32,
    /// `None` before the zygote has told its pid, and after it was reaped.
    process: Option<Child>,
    pub(super) link: Link<ToWorker, FromWorker>,
    pub(super) outbox: Outbox,
    /// It said hello.
    pub(super) greeted: bool,
    /// It was told `Go`, which has to be the first that it hears.
    pub(super) let_go: bool,
    /// Nothing more is read from the link: it was closed, or what came was no frame.
    pub(super) deaf: bool,
    /// The listeners that it has bound and not dropped.
    pub(super) listeners: BTreeMap<ListenerId, Asked>,
    pub(super) since: SystemTime,
}

/// What a worker asks of a listener.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) limits: Limits,
    pub(super) rules: Arc<Rules>,
}

/// The other ends, for the worker to be, and the hub's end of its mail lane.
#[derive(Debug)]
pub(super) struct WorkerEnds {
    pub(super) link: OwnedFd,
    pub(super) mail: OwnedFd,
    pub(super) hub_mail: OwnedFd,
    /// Where it speaks of itself.
    pub(super) row: &'static Row,
}

/// Where a worker is to be: its slot, the service of that, its berth, and the generation that it is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assignment {
    pub(super) slot: usize,
    pub(super) service: usize,
    pub(super) berth: usize,
    pub(super) generation: u32,
}

impl WorkerHandle {
    pub(super) fn set_pid(&mut self, pid: i32) {
        self.process = Some(Child::new(pid));
    }

    /// Whether its link is read: it is a process that we know of, and has not ended the talk. Before
    /// the zygote has told its pid, what it says waits, so that things are told in their order.
    pub(super) fn is_heard(&self) -> bool {
        self.process.is_some() && !self.deaf
    }

    /// It was reaped: its pid may be another's from now on.
    pub(super) fn set_reaped(&mut self) {
        self.process = None;
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        self.process.as_ref().map_or(Ok(()), Child::kill)
    }

    pub(super) fn abort(&self) -> io::Result<()> {
        self.process.as_ref().map_or(Ok(()), Child::abort)
    }

    /// Its process id while it has one that is its own.
    pub(super) fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(Child::pid)
    }

    /// Sends a frame, or says why the worker has to go.
    pub(super) fn send(&mut self, frame: &ToWorker, fds: Vec<Arc<OwnedFd>>) -> Result<(), String> {
        match self.outbox.send(&self.link, frame, fds) {
            // A worker that has closed its link is ending: the reap will tell.
            Ok(()) | Err(SendError::Closed) => Ok(()),
            Err(SendError::Full) => Err("it does not read its link".to_owned()),
            Err(SendError::Os(error)) => Err(format!("its link failed: {error}")),
        }
    }
}

#[derive(Debug)]
pub(super) struct Workers {
    pub(super) by_id: BTreeMap<WorkerId, WorkerHandle>,
    scoreboard: Scoreboard,
    free_rows: Vec<u32>,
}

impl Workers {
    pub(super) fn new(scoreboard: Scoreboard) -> Self {
        let free_rows = (0..ROWS as u32).rev().collect();
        Self { by_id: BTreeMap::new(), scoreboard, free_rows }
    }

    /// Makes room for a worker: its links and its row.
    pub(super) fn add(
        &mut self,
        id: WorkerId,
        Assignment { slot, service, berth, generation }: Assignment,
    ) -> io::Result<WorkerEnds> {
        let (link, their_link) = crate::sys::socket::seqpacket_pair()?;
        let (mail, their_mail) = crate::sys::socket::stream_pair()?;
        let no_row = || io::Error::other("no scoreboard row is free");
        let number = self.free_rows.pop().ok_or_else(no_row)?;
        let row = self.scoreboard.row(number).ok_or_else(no_row)?;
        row.clear();
        let handle = WorkerHandle {
            slot,
            service,
            berth,
            generation,
            row: number,
            process: None,
            link: Link::new(link),
            outbox: Outbox::default(),
            greeted: false,
            let_go: false,
            deaf: false,
            listeners: BTreeMap::new(),
            since: SystemTime::now(),
        };
        self.by_id.insert(id, handle);
        Ok(WorkerEnds { link: their_link, mail: their_mail, hub_mail: mail, row })
    }

    /// Forgets a worker that has ended. Closes its links and frees its row.
    pub(super) fn remove(&mut self, id: WorkerId) -> Option<WorkerHandle> {
        let handle = self.by_id.remove(&id)?;
        self.free_rows.push(handle.row);
        Some(handle)
    }

    /// The worker that has this berth.
    pub(super) fn in_berth(&self, berth: usize) -> Option<WorkerId> {
        self.by_id.iter().find(|(_, w)| w.berth == berth).map(|(&id, _)| id)
    }

    pub(super) fn with_pid(&self, pid: i32) -> Option<WorkerId> {
        let of = |w: &WorkerHandle| w.process.as_ref().map(Child::pid) == Some(pid);
        self.by_id.iter().find(|(_, w)| of(w)).map(|(&id, _)| id)
    }

    /// What the worker says of itself.
    pub(super) fn row(&self, id: WorkerId) -> Option<&'static Row> {
        self.by_id.get(&id).and_then(|w| self.scoreboard.row(w.row))
    }

    /// The worker's heartbeat, as it says.
    pub(super) fn beat(&self, id: WorkerId) -> u64 {
        self.row(id).map_or(0, |row| row.beat.load(Ordering::Relaxed))
    }

    /// How many messages the worker could not read, as it says.
    pub(super) fn unread(&self, id: WorkerId) -> u64 {
        let row = self.by_id.get(&id).and_then(|w| self.scoreboard.row(w.row));
        row.map_or(0, |row| row.unread.load(Ordering::Relaxed))
    }

    /// What the worker says of its connections: open, closed. Clamped to what can be.
    pub(super) fn counts(&self, id: WorkerId) -> (u64, u64) {
        let counts = |row: &Row| {
            let active = row.active.load(Ordering::Relaxed).min(CONNECTIONS_MAX);
            (active, row.served.load(Ordering::Relaxed))
        };
        self.row(id).map_or((0, 0), counts)
    }
}

/// A process cannot have more descriptors than `fs.nr_open` by default; a count above is no count.
const CONNECTIONS_MAX: u64 = 1_048_576;
