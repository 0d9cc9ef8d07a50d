//! The thread that moves this worker's messages between its mail lane and its mailboxes.
//!
//! A thread and not a task, for the reasons of `orders`: messages arrive however busy the user's runtime
//! is, and code without a runtime can send. It decodes no message. While a mailbox is full it does not
//! read, for as long as `mail::patience` allows.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags};

use super::{complain, handle::Identity};
use crate::{
    id::WorkerId,
    mail::{Place, incoming::Incoming, patience::PATIENCE},
    message::{
        MAIN_SERVICE, NO_SERVICE,
        office::{self, Hindrance, Office, Reach},
        post::{Post, Way},
    },
    sys::{
        fdpass, process,
        scoreboard::Row,
        signal, socket,
        wake::{Wake, poll_until},
    },
};

/// How long a worker that ends waits until what it sent is on its way.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// How often it looks meanwhile.
const FLUSH_LOOK: Duration = Duration::from_millis(2);

/// How often it is looked at whether a mailbox that is full is read from: often enough for the hub, which gives up
/// a worker that shows nothing of that for `PATIENCE`.
const FULL_LOOK: Duration = PATIENCE.checked_div(4).expect("not by 0");

/// Opens the office of a worker that has a master. `services` are all there are, by the hashes of their names.
pub(super) fn open(
    identity: Identity,
    services: Vec<u64>,
    row: &'static Row,
    lane: OwnedFd,
) -> io::Result<()> {
    let lane = Arc::new(lane);
    let reach: Reach = Box::new(move |place| match place {
        Place::Service(service) | Place::Workers(service) if !services.contains(&service) => {
            Err(NO_SERVICE)
        }
        // Whether anybody is there, the hub knows.
        _ => Ok(()),
    });
    start(identity, row, reach, Arc::clone(&lane), lane)
}

/// Opens the office of a worker that is alone: what it sends comes back to it, and there is nobody else.
pub(super) fn open_alone(identity: Identity, row: &'static Row) -> io::Result<()> {
    let (out, back) = socket::stream_pair()?;
    let slot = Place::Slot(identity.slot as u64);
    let own = [Place::Worker(identity.id), slot, Place::Service(MAIN_SERVICE)];
    let reach: Reach = Box::new(move |place| match place {
        Place::Workers(MAIN_SERVICE) => Ok(()),
        place if own.contains(&place) => Ok(()),
        Place::Service(_) | Place::Workers(_) => Err(NO_SERVICE),
        _ => Err("this process is a cluster of its own (workers = 0)"),
    });
    start(identity, row, reach, Arc::new(out), Arc::new(back))
}

fn start(
    Identity { id, generation, .. }: Identity,
    row: &'static Row,
    reach: Reach,
    writes: Arc<OwnedFd>,
    reads: Arc<OwnedFd>,
) -> io::Result<()> {
    let wake = Wake::new()?;
    let post = Post::new(wake.clone(), Way::Lane(Arc::clone(&writes)));
    let office =
        office::open(Office::new((Place::Worker(id), generation), reach, post, wake.clone(), row));
    let carrying = Carrying {
        worker: id,
        office,
        wake,
        writes,
        reads: Some(reads),
        incoming: Incoming::default(),
        full_until: None,
    };
    thread::Builder::new().name("cluster-mail".to_owned()).spawn(move || {
        signal::block_on_this_thread();
        carrying.run();
    })?;
    flush_at_exit()
}

struct Carrying {
    worker: WorkerId,
    office: &'static Office,
    wake: Wake,
    writes: Arc<OwnedFd>,
    /// `None` when nothing more comes.
    reads: Option<Arc<OwnedFd>>,
    incoming: Incoming,
    /// A mailbox is full: when to look again at the latest.
    full_until: Option<Instant>,
}

impl Carrying {
    fn run(mut self) {
        loop {
            if self.sleep() {
                self.wake.hush();
            }
            self.office.post().flush_and_linger();
            self.read();
            self.office.expire(Instant::now());
        }
    }

    /// Sleeps until there is something to do; whether somebody rang.
    fn sleep(&self) -> bool {
        let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
        if let Some(reads) = self.reads.as_ref().filter(|_| self.full_until.is_none()) {
            fds.push(PollFd::new(reads, PollFlags::IN));
        }
        let looks_at = self.office.post().looks_at();
        if self.office.post().calls() {
            fds.push(PollFd::new(&self.writes, PollFlags::OUT));
        }
        let deadline = [self.office.next_deadline(), self.full_until, looks_at];
        if poll_until(&mut fds, deadline.into_iter().flatten().min()).is_err() {
            // ENOMEM is all that is left; a pause, so that it does not become a spin.
            thread::sleep(FLUSH_LOOK);
        }
        !fds[0].revents().is_empty()
    }

    /// Reads once, and takes in what that completes.
    fn read(&mut self) {
        if self.full_until.take().is_none() {
            let Some(reads) = &self.reads else { return };
            match self.incoming.fill(|buffer| fdpass::read(reads, buffer)) {
                Ok(1..) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                // The master is gone, and this process will be.
                Ok(0) | Err(_) => self.reads = None,
            }
        }
        let now = Instant::now();
        match self.office.receive_all(&mut self.incoming, now) {
            Ok(()) => {}
            Err(Hindrance::Full(until)) => self.full_until = Some(until.min(now + FULL_LOOK)),
            Err(Hindrance::Garbage(what)) => {
                complain(&format!("worker {}: garbage on its mail lane: {what}", self.worker));
                self.reads = None;
            }
        }
    }
}

/// The process whose outbox is flushed at its exit; 0 when that is done.
static FLUSHES: AtomicU32 = AtomicU32::new(0);

/// From now on the end of this process waits as [`flush`] does, also if it is `std::process::exit`.
fn flush_at_exit() -> io::Result<()> {
    extern "C" fn at_exit() {
        // A child that was forked without exec has a copy of the outbox, which is not its to send.
        if FLUSHES.load(Ordering::Relaxed) == std::process::id() {
            flush();
        }
    }
    FLUSHES.store(std::process::id(), Ordering::Relaxed);
    process::at_exit(at_exit)
}

/// Waits until what this worker has sent is on its way; once, so that an end waits no longer than it may.
pub(super) fn flush() {
    if FLUSHES.swap(0, Ordering::Relaxed) == 0 {
        return;
    }
    let Some(office) = office::try_office() else { return };
    let deadline = Instant::now() + FLUSH_TIMEOUT;
    office.post().flush();
    while !office.post().is_empty() && Instant::now() < deadline {
        thread::sleep(FLUSH_LOOK);
        office.post().flush();
    }
}
