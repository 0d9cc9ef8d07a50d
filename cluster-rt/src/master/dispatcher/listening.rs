//! One listener in the dispatcher: its sockets, the lanes of the berths, what it holds, its pauses.
//!
//! This file is the listener's state and its round; `accept` takes from a socket, `meet` lets those whose
//! first bytes tell where they belong wait for them in `peeking`, `choose` gives to a lane, `take_back` takes from
//! one, `rest` lets connections come together, `follow` changes its rules, `close` ends it. Accepting is tried only
//! while somebody is available, except when closing: then everything that the kernel has accepted is taken, and held
//! until somebody is.

mod accept;
mod choose;
mod close;
mod follow;
mod meet;
mod peeking;
mod rest;
mod take_back;

use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::io::Errno;

pub(super) use self::peeking::DescriptorShare;
use self::peeking::Peeked;
use super::{
    group::Group,
    lane::{Lane, Occupant, STALLED},
    rules::Rules,
};
use crate::{
    endpoint::{Endpoint, Schedule},
    handoff::{Connection, Queue},
    policy::schedule::InTurn,
};

/// The pause after the kernel had no memory or descriptor for us, or for one more in flight.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// While connections are held with nobody available: how soon to try again.
const HELD_RETRY: Duration = Duration::from_millis(5);

/// While all workers have as many connections as they may, which only looking tells: the first looks, and
/// those when it has been so for long. In between, an eighth of the time that it has been so.
const LIMIT_LOOK: Duration = Duration::from_millis(10);
const LIMIT_LOOK_LAST: Duration = Duration::from_millis(100);

/// Accepted in one go before orders are looked at again.
const ACCEPT_BATCH: usize = 64;

/// Something that a person may want to know.
#[derive(Debug)]
pub(super) enum News {
    Info(String),
    Trouble(String),
    /// Said once in the life of the master.
    Remedy(String),
}

/// A listening socket.
#[derive(Debug)]
pub(super) struct Door {
    /// With `Schedule::Kernel`, whose it is.
    pub(super) slot: usize,
    pub(super) socket: Arc<OwnedFd>,
}

/// What a listener is when it begins.
#[derive(Debug)]
pub(in crate::master) struct Terms {
    pub(in crate::master) endpoint: Endpoint,
    /// Until somebody accepts.
    pub(in crate::master) rules: Rules,
    /// Whose it is.
    pub(in crate::master) service: usize,
    /// The slots of the service over which its keys are split.
    pub(in crate::master) shares: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct Listening {
    endpoint: Endpoint,
    rules: Rules,
    service: usize,
    /// One, or with `Schedule::Kernel` one of each slot. None once closed.
    doors: Vec<Door>,
    /// By berth; one whose workers never bound this listener has none.
    lanes: Vec<Option<Lane>>,
    turn: InTurn,
    /// How many slots there are, for the hashing of clients.
    slots: usize,
    /// The slots of its service over which keys are split.
    shares: Vec<usize>,
    /// With `Schedule::ByKey`, the connections whose first bytes are awaited.
    peeked: Option<Peeked>,
    /// Of the descriptors for those.
    share: DescriptorShare,
    /// How the kernel chooses among the doors.
    group: Option<Group>,
    /// Connections that no queue took. While accepting at most one, since accepting stops then, and those whose
    /// first bytes were found in the same go; when closing at most the backlog and what waited for its first bytes.
    held: VecDeque<Connection>,
    paused_until: Option<Instant>,
    /// Nobody is without something to take until then, so what comes may wait in the kernel.
    rests_until: Option<Instant>,
    /// Connections were accepted in this round.
    came: bool,
    /// Since when nobody has been available, as of the last round.
    full_since: Option<Instant>,
    /// Since the order to close: until when handshakes on their way are waited for.
    closing: Option<Instant>,
    /// Some worker has the socket itself and accepts from it by means of its own.
    shared: bool,
    news: Vec<News>,
    /// The last thing told about accepting, so that it is not told for every connection.
    last_trouble: Option<Errno>,
    /// Connections closed because every worker was at its limit, and when that was last told.
    excess: (u64, Option<Instant>),
    /// The same of those closed because they had no key.
    without_key: (u64, Option<Instant>),
}

impl Listening {
    /// `share` bounds how many of all listeners wait for their first bytes.
    pub(super) fn new(terms: Terms, slots: usize, share: DescriptorShare) -> Self {
        let Terms { endpoint, rules, service, shares } = terms;
        let mut news = Vec::new();
        let peeked = follow::peeked_for(&rules, &share, &mut news);
        Self {
            endpoint,
            rules,
            service,
            shares,
            peeked,
            share,
            doors: Vec::new(),
            lanes: Vec::new(),
            turn: InTurn::default(),
            slots,
            group: None,
            held: VecDeque::new(),
            paused_until: None,
            rests_until: None,
            came: false,
            full_since: None,
            closing: None,
            shared: false,
            news,
            last_trouble: None,
            excess: (0, None),
            without_key: (0, None),
        }
    }

    pub(super) fn add_door(&mut self, slot: usize, socket: Arc<OwnedFd>) {
        let door = Door { slot, socket };
        if self.rules.schedule == Schedule::Kernel {
            let group = self.group.get_or_insert_with(|| {
                let (group, told) = Group::new(&door);
                self.news.push(told);
                group
            });
            group.add(self.doors.len(), &door, &mut self.news);
        }
        self.doors.push(door);
        self.regroup(Instant::now());
    }

    pub(super) fn set_slots(&mut self, slots: usize) {
        self.slots = slots;
    }

    /// The keys of a service are split over these slots from now on.
    pub(super) fn set_shares(&mut self, service: usize, shares: &[usize]) {
        if self.service == service {
            self.shares = shares.to_vec();
        }
    }

    pub(super) fn set_queue(&mut self, berth: usize, slot: usize, queue: Arc<Queue>) {
        if self.lanes.len() <= berth {
            self.lanes.resize_with(berth + 1, || None);
        }
        let lane = Lane::new(slot, queue, self.rules.schedule.has_homes(), Instant::now());
        self.lanes[berth] = Some(lane);
    }

    pub(super) fn admit(&mut self, berth: usize, occupant: Occupant) {
        self.change(berth, |lane, now| lane.admit(occupant, now));
    }

    pub(super) fn withdraw(&mut self, berth: usize) {
        self.change(berth, |lane, _| lane.withdraw());
    }

    pub(super) fn vacate(&mut self, berth: usize) {
        self.change(berth, Lane::vacate);
    }

    pub(super) fn share(&mut self, berth: usize) {
        self.shared = true;
        self.change(berth, |lane, _| lane.share());
    }

    fn change(&mut self, berth: usize, change: impl FnOnce(&mut Lane, Instant)) {
        let now = Instant::now();
        if let Some(Some(lane)) = self.lanes.get_mut(berth) {
            change(lane, now);
            self.regroup(now);
            self.follow(now);
        }
    }

    /// Forgets the lane of a berth that nobody will be in again; `false` while something waits there.
    pub(super) fn retire(&mut self, berth: usize) -> bool {
        let Some(place) = self.lanes.get_mut(berth) else { return true };
        let Some(lane) = place else { return true };
        lane.refresh(Instant::now());
        if lane.waiting() == 0 {
            *place = None;
        }
        place.is_none()
    }

    /// Tells the kernel among whose sockets to choose.
    fn regroup(&mut self, now: Instant) {
        if let Some(group) = &mut self.group {
            group.choose(&self.doors, &self.lanes, now, &mut self.news);
        }
    }

    fn anybody_available(&self, now: Instant) -> bool {
        let homes = self.rules.schedule.has_homes();
        self.lanes
            .iter()
            .flatten()
            .any(|lane| if homes { lane.is_awaited(now) } else { lane.is_available(now) })
    }

    /// Whether every worker that accepts has as many connections as it may.
    fn everybody_at_limit(&self) -> bool {
        let mut admitted = self.lanes.iter().flatten().filter(|lane| lane.is_admitted()).peekable();
        admitted.peek().is_some() && admitted.all(Lane::is_at_limit)
    }

    /// Whether a new connection would be taken now.
    fn is_accepting(&self, now: Instant) -> bool {
        self.held.is_empty()
            && self.paused_until.is_none_or(|at| at <= now)
            && (self.anybody_available(now) || self.rules.close_excess && self.everybody_at_limit())
    }

    /// The doors from which the master accepts, while somebody is available.
    fn watched(&self) -> impl Iterator<Item = &Door> {
        let watched = |(position, _): &(usize, &Door)| match self.rules.schedule {
            Schedule::Shared => false,
            Schedule::Kernel => self.group.as_ref().is_none_or(|group| !group.chooses(*position)),
            _ => true,
        };
        self.doors.iter().enumerate().filter(watched).map(|(_, door)| door)
    }

    /// What to poll: sockets for connections, or queues for room while everybody is full; and for first bytes.
    pub(super) fn polled(&self, now: Instant) -> (Vec<BorrowedFd<'_>>, Vec<BorrowedFd<'_>>) {
        let peeked = self.peeked.as_ref().filter(|_| self.looks_at_peeked());
        let mut readable: Vec<_> = peeked.and_then(Peeked::arrivals).into_iter().collect();
        if self.rests_until.is_some() {
            return (readable, Vec::new());
        }
        if self.is_accepting(now) {
            readable.extend(self.watched().map(|door| door.socket.as_fd()));
            return (readable, Vec::new());
        }
        let full = self.lanes.iter().flatten().filter(|lane| lane.wants_room());
        (readable, full.map(|lane| lane.queue().sending_end()).collect())
    }

    /// Hands over what is held, then what can be accepted.
    pub(super) fn dispatch(&mut self, now: Instant) {
        (self.rests_until, self.came) = (None, false);
        let full_since = self.full_since.unwrap_or(now);
        self.full_since = (!self.anybody_available(now)).then_some(full_since);
        if self.closing.is_none() {
            // In a pause too: at the limit of descriptors it gives some back.
            self.look_after_peeked(now);
        }
        if self.paused_until.is_some_and(|at| at > now) {
            return;
        }
        self.paused_until = None;
        if self.closing.is_some() {
            self.end_peeking();
        }
        while let Some(connection) = self.held.pop_front() {
            if !self.hand_over(connection, now) {
                break;
            }
        }
        if self.closing.is_some() {
            return self.empty_backlog(now);
        }
        let watched: Vec<Arc<OwnedFd>> =
            self.watched().map(|door| Arc::clone(&door.socket)).collect();
        for socket in watched {
            self.dispatch_from(&socket, now);
        }
        if self.came {
            self.rest(now);
        }
    }

    fn dispatch_from(&mut self, socket: &OwnedFd, now: Instant) {
        for _ in 0..ACCEPT_BATCH {
            if !self.is_accepting(now) && !self.refresh_is_accepting(now) {
                return;
            }
            let Some(connection) = self.accept(socket, now) else { return };
            if self.rules.close_excess && !self.anybody_available(now) {
                self.refuse(connection, now);
            } else if !self.meet(connection, now) {
                return;
            }
        }
    }

    /// The counts are upper bounds; before believing that everybody is full, ask the kernel.
    fn refresh_is_accepting(&mut self, now: Instant) -> bool {
        self.lanes.iter_mut().flatten().for_each(|lane| lane.refresh(now));
        self.is_accepting(now)
    }

    /// Looks whether workers take what the kernel gives them, if it is time.
    pub(super) fn look_after_doors(&mut self, now: Instant) {
        if let Some(group) = self.group.as_mut().filter(|_| self.closing.is_none()) {
            group.look(&self.doors, &mut self.lanes, now, &mut self.news);
        }
    }

    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// When something is to be done though nothing comes.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        debug_assert!(
            STALLED > HELD_RETRY,
            "a full queue is looked at before it counts as stalled"
        );
        let held = (!self.held.is_empty() || self.closing.is_some())
            .then(|| self.paused_until.unwrap_or(now + HELD_RETRY));
        let paused = self.paused_until;
        let peeked = self.peeked.as_ref().filter(|_| self.looks_at_peeked());
        let peeked = peeked.and_then(Peeked::next_deadline);
        let lanes = || self.lanes.iter().flatten();
        // Everybody is full: somebody will have taken something soon, or be below its limit.
        let everybody_full =
            !self.doors.is_empty() && lanes().any(Lane::is_admitted) && !self.is_accepting(now);
        let full_for = now.duration_since(self.full_since.unwrap_or(now));
        let retry = match lanes().any(Lane::wants_room) {
            true => HELD_RETRY,
            false => (full_for / 8).clamp(LIMIT_LOOK, LIMIT_LOOK_LAST),
        };
        let full = everybody_full.then_some(now + retry);
        let looks = lanes().filter_map(|lane| lane.next_look(now)).min();
        let group = self.group.as_ref().filter(|_| self.closing.is_none()).map(Group::next_look);
        [held, paused, self.rests_until, peeked, full, looks, group].into_iter().flatten().min()
    }
}
