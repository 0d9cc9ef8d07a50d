//! The hub's state, and what it does with it: reads and writes the workers' mail lanes, and the master's
//! own outbox.
//!
//! A sender whose frame has to wait is not read meanwhile. What cannot be a frame ends its sender, by way
//! of the supervisor's thread, and nothing else.

use std::{collections::BTreeMap, os::fd::OwnedFd, sync::Arc, time::Instant};

use rustix::event::PollFlags;

use super::{
    Notice, Order,
    exchange::Exchange,
    lane::{Lane, Sender},
    line::Line,
};
use crate::{
    id::WorkerId,
    mail::{Place, run::Run},
    message::post::Post,
    sys::passing::Passing,
};

/// What became of a frame that was to need no other thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Express {
    /// Nothing was done.
    Not,
    Done,
    /// It was taken, and the hub's thread has to go on with it.
    Waits,
}

pub(super) struct Carrying {
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
    pub(super) fn new(exchange: Exchange, tell: Box<dyn Fn(Notice) + Send>) -> Self {
        Self {
            exchange,
            lanes: BTreeMap::new(),
            own: Sender::default(),
            turn: WorkerId(0),
            again: false,
            tell,
        }
    }

    /// The lanes to poll, and what for.
    pub(super) fn watched(&self) -> Vec<(WorkerId, Arc<OwnedFd>, PollFlags)> {
        let takes = |line: &Line| !line.outbox.is_empty() && line.outbox.held_until().is_none();
        let lanes = self.lanes.iter().map(|(&worker, lane)| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, lane.is_read());
            flags.set(PollFlags::OUT, self.exchange.lines.get(&worker).is_some_and(takes));
            (worker, Arc::clone(&lane.socket), flags)
        });
        // Of a lane that is asked nothing, a hang-up would be told again and again.
        lanes.filter(|(.., flags)| !flags.is_empty()).collect()
    }

    /// When there is something to do whatever comes; `post` is the master's outbox.
    pub(super) fn deadline(&self, post: &Post) -> Option<Instant> {
        let takes = self.own.parked.is_none();
        if (takes && post.calls()) || self.again {
            return Some(Instant::now());
        }
        let looks = post.looks_at().filter(|_| takes);
        let parked = self.senders().filter_map(|sender| sender.parked.as_ref()).map(|p| p.until);
        let held = self.exchange.lines.values().filter_map(|line| line.outbox.held_until());
        parked.chain(held).chain(looks).min()
    }

    /// Routes what was read, and writes what can be.
    pub(super) fn turn(&mut self, now: Instant) {
        // Who is full is judged after it was given what it takes now: the kernel tells of room late.
        let before = self.any_parked() && self.write(now);
        self.route_all(now);
        let progress = self.write(now) | before;
        self.finish(now);
        for unread in self.exchange.foreign.take() {
            (self.tell)(Notice::Unread(unread));
        }
        self.again = progress && self.any_parked();
    }

    /// Routes and writes a frame of the master's own, if none of its own is under way and nothing waits
    /// for the one worker that it is for.
    pub(super) fn express(&mut self, bytes: &[u8], fd: &mut Option<Passing>) -> Express {
        let Ok(Some(run)) = Run::at_front(bytes) else { return Express::Not };
        let receiver = self.exchange.idle_receiver(&run.first.head).filter(|_| self.own.is_idle());
        let Some(worker) = receiver else { return Express::Not };
        let now = Instant::now();
        // Of our own frames none is refused, and none has to wait for who has room.
        self.own.parked = self.exchange.route(Place::Master, &run, fd, now).ok().flatten();
        let Some((line, lane)) = self.exchange.lines.get_mut(&worker).zip(self.lanes.get(&worker))
        else {
            return Express::Waits;
        };
        lane.write(worker, line, now);
        if self.own.is_idle() && line.outbox.is_empty() { Express::Done } else { Express::Waits }
    }

    fn senders(&self) -> impl Iterator<Item = &Sender> {
        self.lanes.values().map(|lane| &lane.sender).chain([&self.own])
    }

    fn any_parked(&self) -> bool {
        self.senders().any(|sender| sender.parked.is_some())
    }

    pub(super) fn read(&mut self, readable: &[WorkerId], post: &Post) {
        if self.own.parked.is_none() {
            let _ = self.own.incoming.fill(|buffer| Ok::<_, ()>(post.take(buffer)));
        }
        for worker in readable {
            let Some(lane) = self.lanes.get_mut(worker).filter(|lane| lane.is_read()) else {
                continue;
            };
            lane.read();
        }
    }

    pub(super) fn take(&mut self, order: Order) {
        match order {
            Order::Add { worker, lane, row } => {
                self.lanes.insert(worker, Lane::new(lane));
                self.exchange.add(worker, row);
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
        let lines = self.exchange.lines.iter_mut().filter(|(_, line)| !line.outbox.is_empty());
        let lanes = &self.lanes;
        let written = lines.map(|(worker, line)| {
            lanes.get(worker).is_some_and(|lane| lane.write(*worker, line, now))
        });
        written.fold(false, |any, some| any | some)
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
