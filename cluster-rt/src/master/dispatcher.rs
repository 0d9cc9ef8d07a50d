//! The dispatcher: a plain thread that accepts connections and hands each to the berth whose turn it is.
//!
//! Does nothing else: no user code, no wait on a worker or client, no allocation per connection but for those whose
//! first bytes are awaited. It alone touches the handoff queues' sending ends. A connection leaves it only into a
//! queue, or closed where an option or a stop says so; one that no queue takes is held and offered again. While
//! nobody is available it does not accept, and the kernel's backlog holds what comes.

mod group;
mod lane;
mod listening;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags};

use self::listening::{DescriptorShare, Listening, News};
pub(super) use self::{lane::Occupant, listening::Terms, rules::Rules};
use crate::{
    handoff::Queue,
    id::ListenerId,
    sys::{
        fdpass::Spare,
        process::nofile,
        signal,
        wake::{Wake, poll_until},
    },
};

/// What the dispatcher is told.
#[derive(Debug)]
pub(super) enum Order {
    /// There is a listener.
    Listen { listener: ListenerId, terms: Terms },
    /// This is its socket, or that of one slot.
    Socket { listener: ListenerId, slot: usize, socket: Arc<OwnedFd> },
    /// This is the berth's queue for the listener; it replaces one that was broken.
    Queue { listener: ListenerId, berth: usize, slot: usize, queue: Arc<Queue> },
    /// The worker in this berth accepts on the listener.
    Admit { listener: ListenerId, berth: usize, occupant: Occupant },
    /// There are so many slots from now on.
    Slots { count: usize },
    /// The keys of a service are split over these slots from now on.
    Shares { service: usize, slots: Vec<usize> },
    /// The worker in this berth takes nothing new; answer with `Notice::Withdrawn`.
    Withdraw { berth: usize },
    /// The worker in this berth has ended: what waits may be taken back.
    Vacate { berth: usize },
    /// Nobody will be in this berth again: answer with `Notice::Retired` when nothing waits there.
    Retire { berth: usize },
    /// The worker in this berth dropped the listener, others have it.
    Unlisten { listener: ListenerId, berth: usize },
    /// The worker in this berth accepts from the socket itself.
    Share { listener: ListenerId, berth: usize },
    /// Nobody has the listener any more: close it.
    Discard { listener: ListenerId },
    /// Begin to accept.
    Open,
    /// Answer with `Notice::Echo`, as a sign of life.
    Echo,
    /// Accept what waits, hand it over, close; answer with `Notice::Closed`.
    Close,
    /// While closing: whether nobody is on the way to what waits where no worker accepts.
    Forsake(bool),
}

/// What the dispatcher tells.
#[derive(Debug)]
pub(super) enum Notice {
    /// It goes round.
    Echo,
    /// Nothing was dispatched to the berth since, nor will be.
    Withdrawn { berth: usize },
    /// Nothing waits in the berth, and it is forgotten.
    Retired { berth: usize },
    /// While closing: connections wait, and no berth has a worker that accepts.
    NobodyToServe,
    /// Every listener is closed and every connection that the kernel had accepted is in a queue.
    Closed,
    /// The berth's queue was shut down by its worker. Another is needed.
    QueueBroken { listener: ListenerId, berth: usize, slot: usize },
    /// Something a person may want to know.
    Info(String),
    /// Something a person should know.
    Trouble(String),
}

/// The master's hold on the thread.
#[derive(Debug)]
pub(super) struct Dispatcher {
    orders: mpsc::Sender<Order>,
    wake: Wake,
}

impl Dispatcher {
    /// Starts the thread; it tells `notify` what it has to tell.
    pub(super) fn start(notify: impl Fn(Notice) + Send + 'static) -> io::Result<Self> {
        // Not bounded by a number: each order is the consequence of one supervisor action, of which
        // there are a few for each worker's life, and the thread never waits for anybody.
        let (orders, inbox) = mpsc::channel();
        let wake = Wake::new()?;
        let state = State {
            inbox,
            wake: wake.clone(),
            spare: Spare::new(&wake)?,
            listeners: BTreeMap::new(),
            share: DescriptorShare::of(nofile()),
            slots: 0,
            retiring: BTreeSet::new(),
            open: false,
            closing: Closing::No,
            told_nobody: false,
            forsaken: false,
            told_remedy: false,
        };
        thread::Builder::new().name("cluster-dispatch".to_owned()).spawn(move || {
            signal::block_on_this_thread();
            state.run(&notify);
        })?;
        Ok(Self { orders, wake })
    }

    pub(super) fn order(&self, order: Order) {
        // The thread ends only with the process.
        let _ = self.orders.send(order);
        self.wake.ring();
    }
}

/// How long closing waits for workers to take what is in their queues.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// How long it waits for room in the queues: the others need the rest of `grace` to drain.
const HELD_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    Since(Instant),
    Done,
}

/// What the thread knows.
#[derive(Debug)]
struct State {
    inbox: mpsc::Receiver<Order>,
    wake: Wake,
    /// For taking connections back at the descriptor limit.
    spare: Spare,
    listeners: BTreeMap<ListenerId, Listening>,
    /// For connections whose first bytes are awaited.
    share: DescriptorShare,
    slots: usize,
    /// Berths to be forgotten when nothing waits in them.
    retiring: BTreeSet<usize>,
    open: bool,
    closing: Closing,
    /// `Notice::NobodyToServe` was given.
    told_nobody: bool,
    /// Nobody will come for what waits.
    forsaken: bool,
    /// The remedy for ETOOMANYREFS has been said.
    told_remedy: bool,
}

impl State {
    fn run(mut self, notify: &dyn Fn(Notice)) {
        let mut rung = true;
        loop {
            if rung && !self.take_orders(notify) {
                return;
            }
            if self.closing != Closing::Done {
                self.pass(notify);
            }
            self.retire_empty(notify);
            self.finish_close(notify);
            rung = self.sleep();
        }
    }

    /// Forgets the berths that are to retire and in which nothing waits any more.
    fn retire_empty(&mut self, notify: &dyn Fn(Notice)) {
        let listeners = &mut self.listeners;
        self.retiring.retain(|&berth| {
            let mut empty = true;
            for listening in listeners.values_mut() {
                empty &= listening.retire(berth);
            }
            if empty {
                notify(Notice::Retired { berth });
            }
            !empty
        });
    }

    /// Tells when closing is done: when the workers have taken everything, or when a second was not
    /// enough for that and everything is where a worker can take it.
    fn finish_close(&mut self, notify: &dyn Fn(Notice)) {
        let Closing::Since(since) = self.closing else { return };
        let now = Instant::now();
        let elapsed = now.duration_since(since);
        let patient = elapsed < CLOSE_PATIENCE;
        if !self.told_nobody && self.listeners.values().any(Listening::needs_somebody) {
            self.told_nobody = true;
            notify(Notice::NobodyToServe);
        }
        self.give_up(elapsed, notify);
        if self.listeners.values_mut().all(|l| l.is_finished(now, patient)) {
            // From here on workers stop accepting: nothing is taken back to be given to another.
            self.closing = Closing::Done;
            notify(Notice::Closed);
        }
    }

    /// Closes, when it is time, what no worker is going to take.
    fn give_up(&mut self, elapsed: Duration, notify: &dyn Fn(Notice)) {
        let (forsakes, lets_go) =
            (self.forsaken && elapsed >= CLOSE_PATIENCE, elapsed >= HELD_PATIENCE);
        let mut closed = 0;
        for listening in self.listeners.values_mut() {
            if forsakes {
                closed += listening.forsake(&self.spare);
            }
            if lets_go {
                closed += listening.let_go_of_held();
            }
        }
        if closed > 0 {
            let text = format!("stop: closed {closed} connections that no worker accepts");
            notify(Notice::Trouble(text));
        }
    }

    /// One round over all listeners: accept, hand over, look after what waits.
    fn pass(&mut self, notify: &dyn Fn(Notice)) {
        let now = Instant::now();
        for (&listener, listening) in &mut self.listeners {
            if self.open || self.closing != Closing::No {
                listening.dispatch(now);
            }
            listening.look_after_waiting(now, &self.spare);
            listening.look_after_doors(now);
            for (berth, slot) in listening.broken_lanes(&self.spare) {
                notify(Notice::QueueBroken { listener, berth, slot });
            }
            for news in listening.take_news() {
                match news {
                    News::Info(text) => notify(Notice::Info(text)),
                    News::Remedy(_) if std::mem::replace(&mut self.told_remedy, true) => {}
                    News::Trouble(text) | News::Remedy(text) => notify(Notice::Trouble(text)),
                }
            }
        }
    }

    /// Carries out what was ordered; `false` when the master is gone.
    fn take_orders(&mut self, notify: &dyn Fn(Notice)) -> bool {
        self.wake.hush();
        loop {
            let order = match self.inbox.try_recv() {
                Ok(order) => order,
                Err(mpsc::TryRecvError::Empty) => return true,
                Err(mpsc::TryRecvError::Disconnected) => return false,
            };
            match order {
                Order::Listen { listener, terms } => {
                    let listening = Listening::new(terms, self.slots, self.share.clone());
                    self.listeners.insert(listener, listening);
                }
                Order::Socket { listener, slot, socket } => {
                    self.with(listener, |l| l.add_door(slot, socket));
                }
                Order::Queue { listener, berth, slot, queue } => {
                    self.with(listener, |l| l.set_queue(berth, slot, queue));
                }
                Order::Admit { listener, berth, occupant } => {
                    self.with(listener, |l| l.admit(berth, occupant));
                }
                Order::Slots { count } => {
                    self.slots = count;
                    self.listeners.values_mut().for_each(|l| l.set_slots(count));
                }
                Order::Shares { service, slots } => {
                    self.listeners.values_mut().for_each(|l| l.set_shares(service, &slots));
                }
                Order::Unlisten { listener, berth } => self.with(listener, |l| l.withdraw(berth)),
                Order::Withdraw { berth } => {
                    self.listeners.values_mut().for_each(|l| l.withdraw(berth));
                    let now = Instant::now();
                    for listening in self.listeners.values_mut() {
                        listening.look_after_waiting(now, &self.spare);
                    }
                    notify(Notice::Withdrawn { berth });
                }
                Order::Vacate { berth } => {
                    self.listeners.values_mut().for_each(|l| l.vacate(berth));
                }
                Order::Retire { berth } => {
                    self.listeners.values_mut().for_each(|l| l.withdraw(berth));
                    self.retiring.insert(berth);
                }
                Order::Share { listener, berth } => self.with(listener, |l| l.share(berth)),
                Order::Discard { listener } => drop(self.listeners.remove(&listener)),
                Order::Open => self.open = true,
                Order::Echo => notify(Notice::Echo),
                Order::Forsake(forsaken) => self.forsaken = forsaken,
                Order::Close => {
                    self.closing = Closing::Since(Instant::now());
                    let now = Instant::now();
                    self.listeners.values_mut().for_each(|l| l.begin_close(now));
                }
            }
        }
    }

    fn with(&mut self, listener: ListenerId, change: impl FnOnce(&mut Listening)) {
        if let Some(listening) = self.listeners.get_mut(&listener) {
            change(listening);
        }
    }

    /// Sleeps until an order, a connection for somebody, or the next thing to look after; returns
    /// whether there may be orders.
    fn sleep(&self) -> bool {
        let now = Instant::now();
        let mut fds = vec![PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
        for listening in self.listeners.values().filter(|_| self.open) {
            let (sockets, full) = listening.polled(now);
            fds.extend(sockets.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            fds.extend(full.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT)));
        }
        let deadline = match self.closing {
            Closing::Done => None,
            _ => self.listeners.values().filter_map(|l| l.next_deadline(now)).min(),
        };
        if poll_until(&mut fds, deadline).is_err() {
            // ENOMEM is all that is left; a pause, so that it does not become a spin.
            thread::sleep(Duration::from_millis(10));
            return true;
        }
        fds.first().is_some_and(|wake| !wake.revents().is_empty())
    }
}
