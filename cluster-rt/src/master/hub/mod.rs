//! The hub's thread, and the others' way to it.
//!
//! Never waits for a process: every socket is non-blocking. What the thread does each time that it wakes is
//! [`carrying`]'s; who gets what is decided in [`exchange`].

mod carrying;
mod directory;
mod exchange;
mod foreign;
mod lane;
mod line;
mod requests;
#[cfg(test)]
mod tests;

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags};

use self::{
    carrying::{Carrying, Express},
    directory::Directory,
    exchange::Exchange,
    foreign::Unread,
};
use crate::{
    id::WorkerId,
    mail::{Place, run::Run},
    message::{
        NO_SERVICE,
        office::{self, Office, Reach},
        post::{Post, Way},
    },
    sys::{
        passing::Passing,
        scoreboard::Row,
        signal,
        wake::{Wake, poll_until},
    },
};

/// What the supervisor's thread tells the hub.
#[derive(Debug)]
enum Order {
    /// A worker is to be, and this is the master's end of its lane.
    Add { worker: WorkerId, lane: OwnedFd, row: &'static Row },
    /// The worker was reaped: read its lane to the end, then `Notice::ReadToEnd`.
    Reaped { worker: WorkerId },
    /// The worker never came to be.
    Forget { worker: WorkerId },
}

/// What the hub tells the supervisor's thread.
#[derive(Debug)]
pub(super) enum Notice {
    /// What a worker sent is no frame, or not for it to send.
    Garbage { worker: WorkerId, what: String },
    /// Everything that a reaped worker had sent has been routed.
    ReadToEnd { worker: WorkerId },
    /// Somebody could not read a message, the first of its name.
    Unread(Unread),
}

/// What the master's own office says of itself.
static ROW: Row = Row::new();

/// The others' way to the hub.
#[derive(Clone, Debug)]
pub(super) struct Hub {
    orders: mpsc::Sender<Order>,
    wake: Wake,
    directory: Arc<Directory>,
    office: &'static Office,
}

impl Hub {
    /// Opens the master's office and starts the thread. `services` are all there are, by the hashes of their
    /// names; without a branch nobody is to subscribe in the master.
    pub(super) fn start(
        generation: u32,
        services: Vec<u64>,
        has_branch: bool,
        tell: impl Fn(Notice) + Send + 'static,
    ) -> io::Result<Self> {
        let wake = Wake::new()?;
        let directory = Arc::new(Directory::default());
        let members = Arc::clone(&directory);
        let reach: Reach = Box::new(move |place| match place {
            Place::Worker(worker) if !members.contains(worker) => Err("that worker does not live"),
            Place::Slot(slot) if members.in_slot(slot).is_none() => {
                Err("no worker of that slot is ready")
            }
            Place::Service(service) | Place::Workers(service) if !services.contains(&service) => {
                Err(NO_SERVICE)
            }
            Place::Service(service) if !members.is_served(service) => {
                Err("no worker of that service is ready")
            }
            _ => Ok(()),
        });
        let local = Box::new(move |run: &Run<'_>, fd: &mut Option<Passing>, now| {
            // Nothing is routed before it is open.
            office::try_office().map_or(Ok(()), |office| office.receive(run, fd, now))
        });
        let exchange = Exchange::new(Arc::clone(&directory), local);
        let carrying = Arc::new(Mutex::new(Carrying::new(exchange, Box::new(tell))));
        let post = Post::new(wake.clone(), express(&carrying, &wake));
        let me = (Place::Master, generation);
        let office = office::open(Office::new(me, reach, post, wake.clone(), &ROW));
        if !has_branch {
            office.inbox().desert();
        }
        let (orders, inbox) = mpsc::channel();
        let bell = wake.clone();
        thread::Builder::new().name("cluster-hub".to_owned()).spawn(move || {
            signal::block_on_this_thread();
            run(&carrying, &bell, &inbox, office);
        })?;
        Ok(Self { orders, wake, directory, office })
    }

    fn order(&self, order: Order) {
        // Fails only while the process ends.
        let _ = self.orders.send(order);
        self.wake.ring();
    }

    /// A worker is to be; `row` is where it speaks of itself.
    pub(super) fn add(
        &self,
        worker: WorkerId,
        (slot, service): (usize, u64),
        lane: OwnedFd,
        row: &'static Row,
    ) {
        self.order(Order::Add { worker, lane, row });
        self.directory.add(worker, slot, service);
    }

    pub(super) fn set_ready(&self, worker: WorkerId) {
        self.directory.set_ready(worker);
    }

    pub(super) fn set_draining(&self, worker: WorkerId) {
        self.directory.set_draining(worker);
    }

    /// The worker was reaped; `Notice::ReadToEnd` follows.
    pub(super) fn reaped(&self, worker: WorkerId) {
        self.directory.remove(worker);
        self.order(Order::Reaped { worker });
    }

    pub(super) fn forget(&self, worker: WorkerId) {
        self.directory.remove(worker);
        self.order(Order::Forget { worker });
    }

    /// How many messages the master's own mailboxes could not read.
    pub(super) fn unread(&self) -> u64 {
        ROW.unread.load(Ordering::Relaxed)
    }

    /// The cluster has ended: the master's mailboxes end.
    pub(super) fn close(&self) {
        self.office.inbox().close();
    }
}

/// Lets a thread that sends in the master do the hub's work for one frame, if the hub has nothing to do at
/// this moment and nobody has to wait: so the frame needs no other thread.
///
/// Called with the outbox locked, so it only tries for the hub's lock, and never waits.
fn express(carrying: &Arc<Mutex<Carrying>>, wake: &Wake) -> Way {
    let (carrying, wake) = (Arc::clone(carrying), wake.clone());
    Way::Express(Box::new(move |frame, fd| {
        let Ok(mut carrying) = carrying.try_lock() else { return false };
        match carrying.express(frame, fd) {
            Express::Not => false,
            Express::Done => true,
            Express::Waits => {
                wake.ring();
                true
            }
        }
    }))
}

fn lock(carrying: &Mutex<Carrying>) -> MutexGuard<'_, Carrying> {
    carrying.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(
    carrying: &Mutex<Carrying>,
    wake: &Wake,
    inbox: &mpsc::Receiver<Order>,
    office: &'static Office,
) {
    loop {
        let readable = sleep(carrying, wake, office);
        let mut carrying = lock(carrying);
        carrying.read(&readable, office.post());
        // After the reading: whoever was told of a worker by the supervisor's thread may send to it.
        while let Ok(order) = inbox.try_recv() {
            carrying.take(order);
        }
        let now = Instant::now();
        carrying.turn(now);
        drop(carrying);
        office.expire(now);
    }
}

/// Sleeps until there is something to do; returns the workers whose lanes can be read.
fn sleep(carrying: &Mutex<Carrying>, wake: &Wake, office: &Office) -> Vec<WorkerId> {
    let (watched, deadline) = {
        let carrying = lock(carrying);
        (carrying.watched(), carrying.deadline(office.post()))
    };
    let lanes = watched.iter().map(|(_, socket, flags)| PollFd::new(socket, *flags));
    let mut fds: Vec<PollFd<'_>> =
        [PollFd::new(wake, PollFlags::IN)].into_iter().chain(lanes).collect();
    let deadline = deadline.into_iter().chain(office.next_deadline()).min();
    if poll_until(&mut fds, deadline).is_err() {
        // ENOMEM is all that is left; a pause, so that it does not become a spin.
        thread::sleep(Duration::from_millis(10));
    }
    if !fds[0].revents().is_empty() {
        wake.hush();
    }
    let come = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
    let readable = fds[1..].iter().zip(&watched).filter(|(fd, _)| fd.revents().intersects(come));
    readable.map(|(_, (worker, ..))| *worker).collect()
}
