//! The hub's thread: reads and writes the workers' mail lanes, and the master's own outbox.
//!
//! Never waits for a process: every socket is non-blocking. A sender whose frame has to wait is not read
//! meanwhile. What cannot be a frame ends its sender, by way of the supervisor's thread, and nothing
//! else. Who gets what is decided in [`exchange`].

mod directory;
mod exchange;
mod foreign;
mod lane;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
};

use self::{
    directory::Directory,
    exchange::{Exchange, Line},
    foreign::Unread,
    lane::{Lane, Sender},
};
use crate::{
    id::WorkerId,
    mail::{Frame, Place},
    message::{
        MAIN_SERVICE, NO_SERVICE,
        office::{self, Office, Reach},
        post::Post,
    },
    sys::{
        fdpass,
        passing::Passing,
        signal,
        wake::{Wake, poll_until},
    },
};

/// What the supervisor's thread tells the hub.
#[derive(Debug)]
enum Order {
    /// A worker is to be, and this is the master's end of its lane.
    Add { worker: WorkerId, lane: OwnedFd },
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

/// Messages that the master's own mailboxes could not read.
static UNREAD: AtomicU64 = AtomicU64::new(0);

/// The others' way to the hub.
#[derive(Clone, Debug)]
pub(super) struct Hub {
    orders: mpsc::Sender<Order>,
    wake: Wake,
    directory: Arc<Directory>,
    office: &'static Office,
}

impl Hub {
    /// Opens the master's office and starts the thread.
    pub(super) fn start(
        generation: u32,
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
            Place::Service(service) | Place::Workers(service) if service != MAIN_SERVICE => {
                Err(NO_SERVICE)
            }
            Place::Service(service) if !members.is_served(service) => {
                Err("no worker of that service is ready")
            }
            _ => Ok(()),
        });
        let post = Post::new(wake.clone(), None);
        let office = office::open(Office::new(
            (Place::Master, generation),
            reach,
            post,
            wake.clone(),
            &UNREAD,
        ));
        let (orders, inbox) = mpsc::channel();
        let local = Box::new(move |frame: &Frame<'_>, fd: &mut Option<Passing>, now| {
            office.receive(frame, fd, now)
        });
        let carrying = Carrying {
            inbox,
            wake: wake.clone(),
            office,
            exchange: Exchange::new(Arc::clone(&directory), local),
            lanes: BTreeMap::new(),
            own: Sender::default(),
            turn: WorkerId(0),
            again: false,
            tell: Box::new(tell),
        };
        thread::Builder::new().name("cluster-hub".to_owned()).spawn(move || {
            signal::block_on_this_thread();
            carrying.run();
        })?;
        Ok(Self { orders, wake, directory, office })
    }

    fn order(&self, order: Order) {
        // Fails only while the process ends.
        let _ = self.orders.send(order);
        self.wake.ring();
    }

    pub(super) fn add(&self, worker: WorkerId, slot: usize, lane: OwnedFd) {
        self.order(Order::Add { worker, lane });
        self.directory.add(worker, slot, MAIN_SERVICE);
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
        UNREAD.load(Ordering::Relaxed)
    }

    /// The cluster has ended: the master's mailboxes end.
    pub(super) fn close(&self) {
        self.office.inbox().close();
    }
}

struct Carrying {
    inbox: mpsc::Receiver<Order>,
    wake: Wake,
    office: &'static Office,
    exchange: Exchange,
    lanes: BTreeMap<WorkerId, Lane>,
    own: Sender,
    /// The worker whose frames are routed first, so that each is in front once.
    turn: WorkerId,
    /// Somebody has taken something, and somebody may have waited for that.
    again: bool,
    tell: Box<dyn Fn(Notice) + Send>,
}

impl Carrying {
    fn run(mut self) {
        loop {
            let readable = self.sleep();
            self.read(&readable);
            // After the reading: whoever was told of a worker by the supervisor's thread may send to it.
            while let Ok(order) = self.inbox.try_recv() {
                self.take(order);
            }
            let now = Instant::now();
            self.route_all(now);
            let progress = self.write(now);
            self.finish(now);
            for unread in self.exchange.foreign.take() {
                (self.tell)(Notice::Unread(unread));
            }
            self.again = progress && self.any_parked();
            self.office.expire(now);
        }
    }

    /// Sleeps until there is something to do; returns the workers whose lanes can be read.
    fn sleep(&self) -> Vec<WorkerId> {
        let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
        let mut of = vec![None];
        for (&worker, lane) in &self.lanes {
            let line = self.exchange.lines.get(&worker);
            let takes = |line: &Line| !line.outbox.is_empty() && line.outbox.held_until().is_none();
            let writes = line.is_some_and(takes);
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, lane.is_read());
            flags.set(PollFlags::OUT, writes);
            // Of a lane that is asked nothing, a hang-up would be told again and again.
            if !flags.is_empty() {
                fds.push(PollFd::new(&lane.socket, flags));
                of.push(Some(worker));
            }
        }
        if poll_until(&mut fds, self.deadline()).is_err() {
            // ENOMEM is all that is left; a pause, so that it does not become a spin.
            thread::sleep(Duration::from_millis(10));
        }
        if !fds[0].revents().is_empty() {
            self.wake.hush();
        }
        let come = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        let readable = fds.iter().zip(of).filter(|(fd, _)| fd.revents().intersects(come));
        readable.filter_map(|(_, worker)| worker).collect()
    }

    fn deadline(&self) -> Option<Instant> {
        let own_waits = self.own.parked.is_none() && !self.office.post().is_empty();
        if own_waits || self.again {
            return Some(Instant::now());
        }
        let parked = self.senders().filter_map(|sender| sender.parked.as_ref()).map(|p| p.until);
        let held = self.exchange.lines.values().filter_map(|line| line.outbox.held_until());
        parked.chain(held).chain(self.office.next_deadline()).min()
    }

    fn senders(&self) -> impl Iterator<Item = &Sender> {
        self.lanes.values().map(|lane| &lane.sender).chain([&self.own])
    }

    fn any_parked(&self) -> bool {
        self.senders().any(|sender| sender.parked.is_some())
    }

    fn read(&mut self, readable: &[WorkerId]) {
        if self.own.parked.is_none() {
            let post = self.office.post();
            let _ = self.own.incoming.fill(|buffer| Ok::<_, ()>(post.take(buffer)));
        }
        for worker in readable {
            let Some(lane) = self.lanes.get_mut(worker).filter(|lane| lane.is_read()) else {
                continue;
            };
            lane.read();
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Add { worker, lane } => {
                self.lanes.insert(worker, Lane::new(lane));
                self.exchange.add(worker);
            }
            Order::Reaped { worker } => match self.lanes.get_mut(&worker) {
                Some(lane) => lane.set_reaped(),
                None => (self.tell)(Notice::ReadToEnd { worker }),
            },
            Order::Forget { worker } => {
                self.lanes.remove(&worker);
                self.exchange.ended(worker, Instant::now());
            }
        }
    }

    fn route_all(&mut self, now: Instant) {
        if let Err(what) = self.own.route(&mut self.exchange, Place::Master, now) {
            // Our own frames: a mistake of ours, which must not become a spin.
            self.own = Sender::default();
            debug_assert!(false, "the master's own frame: {what}");
        }
        let first = self.lanes.range(self.turn..).map(|(&worker, _)| worker);
        let order: Vec<WorkerId> =
            first.chain(self.lanes.range(..self.turn).map(|(&worker, _)| worker)).collect();
        self.turn = order.get(1).or(order.first()).copied().unwrap_or(WorkerId(0));
        for worker in order {
            let Some(lane) = self.lanes.get_mut(&worker) else { continue };
            if lane.deaf && lane.sender.parked.is_none() {
                continue;
            }
            let place = Place::Worker(worker);
            if let Err(what) = lane.sender.route(&mut self.exchange, place, now) {
                lane.deaf = true;
                (self.tell)(Notice::Garbage { worker, what });
            }
        }
    }

    /// Writes what the workers take now; whether any took something.
    fn write(&mut self, now: Instant) -> bool {
        let mut progress = false;
        for (&worker, line) in &mut self.exchange.lines {
            let Some(lane) = self.lanes.get(&worker) else { continue };
            while !line.outbox.is_empty() {
                let (front, fd) = line.outbox.front();
                match fdpass::write(&lane.socket, front, fd) {
                    Ok(count) => line.written(worker, count, now),
                    Err(Errno::AGAIN | Errno::NOBUFS) => break,
                    Err(Errno::TOOMANYREFS) => {
                        line.outbox.refused(now);
                        if line.outbox.held_until().is_some() {
                            break;
                        }
                    }
                    // It has closed its end: the reap will tell.
                    Err(_) => line.close(),
                }
                progress = true;
            }
        }
        progress
    }

    /// Goes on reading what reaped workers left, and lets go of those that left no more.
    fn finish(&mut self, now: Instant) {
        let reaped: Vec<WorkerId> =
            self.lanes.iter().filter(|(_, lane)| lane.is_reaped()).map(|(&w, _)| w).collect();
        for worker in reaped {
            let Some(lane) = self.lanes.get_mut(&worker) else { continue };
            while lane.is_read() && lane.read() {
                let place = Place::Worker(worker);
                if lane.sender.route(&mut self.exchange, place, now).is_err() {
                    lane.deaf = true;
                }
            }
            if lane.sender.parked.is_none() {
                self.lanes.remove(&worker);
                self.exchange.ended(worker, now);
                (self.tell)(Notice::ReadToEnd { worker });
            }
        }
    }
}
