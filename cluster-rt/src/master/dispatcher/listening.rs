//! One listener in the dispatcher: its socket, the lanes of the berths, what it holds, its pauses.
//!
//! Accepting is tried only while somebody is available, except when closing: then everything that the
//! kernel has accepted is taken, and held until somebody is.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::lane::{Lane, STALLED};
use crate::{
    handoff::{Connection, Queue, Refusal},
    policy::schedule::RoundRobin,
    sys::{fdpass::Spare, socket},
};

/// The pause after the kernel had no memory or descriptor for us, or for one more in flight.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// While connections are held with nobody available: how soon to try again.
const HELD_RETRY: Duration = Duration::from_millis(5);

/// How long a stop waits for handshakes on their way: the client is connected when it has our SYN+ACK,
/// and we have it a round trip later.
const HANDSHAKE_LINGER: Duration = Duration::from_millis(100);

/// Accepted in one go before orders are looked at again.
const ACCEPT_BATCH: usize = 64;

/// Something a person should know, for good or `once` in the life of the master.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) text: String,
    pub(super) once: bool,
}

#[derive(Debug)]
pub(super) struct Listening {
    /// `None` once closed.
    socket: Option<Arc<OwnedFd>>,
    /// By berth; one whose workers never bound this listener has none.
    lanes: Vec<Option<Lane>>,
    schedule: RoundRobin,
    /// Connections that no queue took. While accepting at most one, since accepting stops then; when
    /// closing at most the backlog.
    held: VecDeque<Connection>,
    paused_until: Option<Instant>,
    /// Since the order to close: until when handshakes on their way are waited for.
    closing: Option<Instant>,
    /// Some worker has the socket itself and accepts from it.
    shared: bool,
    troubles: Vec<Trouble>,
    /// The last thing told about accepting, so that it is not told for every connection.
    last_trouble: Option<Errno>,
}

impl Listening {
    pub(super) fn new(socket: Arc<OwnedFd>) -> Self {
        Self {
            socket: Some(socket),
            lanes: Vec::new(),
            schedule: RoundRobin::default(),
            held: VecDeque::new(),
            paused_until: None,
            closing: None,
            shared: false,
            troubles: Vec::new(),
            last_trouble: None,
        }
    }

    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(|socket| socket.as_fd())
    }

    /// The queues to watch for room, while everybody who would be available is full.
    pub(super) fn full_queues(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let full = self.lanes.iter().flatten().filter(|lane| lane.wants_room());
        full.map(|lane| lane.queue().sending_end())
    }

    pub(super) fn set_queue(&mut self, berth: usize, queue: Arc<Queue>) {
        if self.lanes.len() <= berth {
            self.lanes.resize_with(berth + 1, || None);
        }
        let now = Instant::now();
        match &mut self.lanes[berth] {
            Some(lane) => lane.set_queue(queue, now),
            empty => *empty = Some(Lane::new(queue, now)),
        }
    }

    pub(super) fn admit(&mut self, berth: usize) {
        if let Some(Some(lane)) = self.lanes.get_mut(berth) {
            lane.admit(Instant::now());
        }
    }

    pub(super) fn withdraw(&mut self, berth: usize) {
        if let Some(Some(lane)) = self.lanes.get_mut(berth) {
            lane.withdraw();
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

    pub(super) fn share(&mut self, berth: usize) {
        self.shared = true;
        if let Some(Some(lane)) = self.lanes.get_mut(berth) {
            lane.share();
        }
    }

    /// Whether a new connection would be taken now.
    pub(super) fn is_accepting(&self, now: Instant) -> bool {
        self.socket.is_some()
            && self.held.is_empty()
            && self.paused_until.is_none_or(|at| at <= now)
            && self.lanes.iter().flatten().any(|lane| lane.is_available(now))
    }

    /// Hands over what is held, then what can be accepted.
    pub(super) fn dispatch(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|at| at > now) {
            return;
        }
        self.paused_until = None;
        while let Some(connection) = self.held.pop_front() {
            if !self.hand_over(connection, now) {
                break;
            }
        }
        if self.closing.is_some() {
            return self.empty_backlog(now);
        }
        for _ in 0..ACCEPT_BATCH {
            if !self.is_accepting(now) && !self.refresh_is_accepting(now) {
                return;
            }
            let Some(connection) = self.accept(now) else { return };
            if !self.hand_over(connection, now) {
                return;
            }
        }
    }

    /// The counts are upper bounds; before believing that everybody is full, ask the kernel.
    fn refresh_is_accepting(&mut self, now: Instant) -> bool {
        self.lanes.iter_mut().flatten().for_each(|lane| lane.refresh(now));
        self.is_accepting(now)
    }

    fn accept(&mut self, now: Instant) -> Option<Connection> {
        if self.shared {
            // The flag is shared too, and a worker may have made the socket blocking for itself.
            let _ = socket::set_nonblocking(self.socket()?);
        }
        loop {
            match socket::accept(self.socket()?) {
                Ok((socket, peer)) => {
                    self.last_trouble = None;
                    return Some(Connection { socket, peer });
                }
                Err(Errno::AGAIN) => {
                    self.last_trouble = None;
                    return None;
                }
                Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                    self.paused_until = Some(now + EXHAUSTED_PAUSE);
                    self.tell_once(error);
                    return None;
                }
                // Errors of one connection that is already gone (accept(2)): the next may be fine.
                Err(
                    Errno::CONNABORTED
                    | Errno::PROTO
                    | Errno::PERM
                    | Errno::NETDOWN
                    | Errno::NOPROTOOPT
                    | Errno::HOSTDOWN
                    | Errno::NONET
                    | Errno::HOSTUNREACH
                    | Errno::OPNOTSUPP
                    | Errno::NETUNREACH,
                ) => {}
                Err(error) => {
                    self.paused_until = Some(now + EXHAUSTED_PAUSE);
                    self.tell_once(error);
                    return None;
                }
            }
        }
    }

    fn tell_once(&mut self, error: Errno) {
        if self.last_trouble.replace(error) != Some(error) {
            let remedy = match error {
                Errno::MFILE => " (raise the limit of open files, `ulimit -n`)",
                _ => "",
            };
            self.troubles.push(Trouble {
                text: format!("accept: {error}{remedy}; connections wait in the kernel"),
                once: false,
            });
        }
    }

    /// Gives the connection to the next lane that takes it; holds it and returns `false` if none does.
    fn hand_over(&mut self, mut connection: Connection, now: Instant) -> bool {
        loop {
            let lanes = &self.lanes;
            // When closing there is no later: the bound is then what the queue's socket holds.
            let available = |at: usize| match &lanes[at] {
                Some(lane) if self.closing.is_some() => lane.is_admitted() && !lane.is_paused(now),
                Some(lane) => lane.is_available(now),
                None => false,
            };
            let chosen = self.schedule.pick(lanes.len(), available);
            let Some(lane) = chosen.and_then(|at| self.lanes[at].as_mut()) else {
                self.held.push_front(connection);
                return false;
            };
            match lane.send(connection, now) {
                Ok(()) => return true,
                Err((given_back, Refusal::Broken)) => connection = given_back,
                Err((given_back, Refusal::Full)) => {
                    self.paused_until = Some(now + HELD_RETRY);
                    self.held.push_front(given_back);
                    return false;
                }
                Err((given_back, Refusal::TooManyInFlight)) => {
                    self.paused_until = Some(now + EXHAUSTED_PAUSE);
                    self.held.push_front(given_back);
                    self.troubles.push(Trouble {
                        text: "handoff: too many descriptors in flight for this user; connections \
                               wait (raise the limit of open files, `ulimit -n`, or give other \
                               programs another user)"
                            .to_owned(),
                        once: true,
                    });
                    return false;
                }
            }
        }
    }

    /// Takes back what waits where nobody is going to take it soon, if somebody else can have it.
    pub(super) fn look_after_waiting(&mut self, now: Instant, spare: &Spare) {
        for at in 0..self.lanes.len() {
            let Some(lane) = &mut self.lanes[at] else { continue };
            if !lane.is_stuck(now) {
                continue;
            }
            lane.refresh(now);
            if !lane.is_stuck(now) {
                continue;
            }
            lane.pause(now);
            // Paused or withdrawn, the lane does not get back what is taken from it.
            while self.held.is_empty() && self.lanes.iter().flatten().any(|l| l.is_available(now)) {
                let Some(lane) = &self.lanes[at] else { break };
                let Ok(Some(connection)) = lane.queue().take_back(spare) else { break };
                if !self.hand_over(connection, now) {
                    break;
                }
            }
            if let Some(lane) = &mut self.lanes[at] {
                lane.refresh(now);
                if lane.waiting() > 0 {
                    lane.pause(now);
                }
            }
        }
    }

    /// The berths whose queues were just found shut down. What waited in one is dispatched again.
    pub(super) fn broken_lanes(&mut self, spare: &Spare) -> Vec<usize> {
        let mut broken = Vec::new();
        for at in 0..self.lanes.len() {
            let Some(lane) = self.lanes[at].as_mut().filter(|lane| lane.broken) else { continue };
            while let Ok(Some(connection)) = lane.queue().take_back(spare) {
                self.held.push_back(connection);
            }
            self.lanes[at] = None;
            broken.push(at);
        }
        broken
    }

    pub(super) fn take_troubles(&mut self) -> Vec<Trouble> {
        std::mem::take(&mut self.troubles)
    }

    /// From now on no new connection begins; `dispatch` empties the backlog and closes the socket.
    pub(super) fn begin_close(&mut self, now: Instant) {
        self.closing = Some(now + HANDSHAKE_LINGER);
        let filtered = self.socket.as_ref().map_or(Ok(()), socket::drop_requests);
        self.tell_of_filter(filtered);
    }

    fn tell_of_filter(&mut self, filtered: std::io::Result<()>) {
        if let Err(error) = filtered {
            let text = format!("stop: socket filter: {error}; late connections may be reset");
            self.troubles.push(Trouble { text, once: false });
        }
    }

    /// Takes everything that the kernel has accepted; when no handshake can be on its way any more,
    /// closes the socket.
    fn empty_backlog(&mut self, now: Instant) {
        if self.shared && !self.lanes.iter().flatten().any(Lane::is_admitted) {
            // What waits is for those who accept from the socket themselves.
            self.socket = None;
            return;
        }
        let last = self.closing.is_some_and(|linger| linger <= now);
        if last {
            let filtered = self.socket.as_ref().map_or(Ok(()), socket::drop_all);
            self.tell_of_filter(filtered);
        }
        // The filters make this end.
        while let Some(connection) = self.accept(now) {
            if self.held.is_empty() {
                self.hand_over(connection, now);
            } else {
                self.held.push_back(connection);
            }
        }
        // Without a descriptor for the next one the backlog is not empty yet.
        if last && self.last_trouble.is_none() {
            self.socket = None;
        }
    }

    /// Whether connections wait and no berth has a worker that accepts.
    pub(super) fn needs_somebody(&self) -> bool {
        let waiting = !self.held.is_empty() || self.lanes.iter().flatten().any(|l| l.waiting() > 0);
        waiting && !self.lanes.iter().flatten().any(Lane::is_admitted)
    }

    /// Whether, after the close, workers have taken everything; when no longer `patient`, whether
    /// everything is at least in the queue of a worker that lives.
    pub(super) fn is_finished(&mut self, now: Instant, patient: bool) -> bool {
        let mut served = self.socket.is_none() && self.held.is_empty();
        for lane in self.lanes.iter_mut().flatten() {
            lane.refresh(now);
            served &= lane.waiting() == 0 || (lane.is_admitted() && !patient);
        }
        served
    }

    /// When something is to be done though nothing comes.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let held = (!self.held.is_empty() || self.closing.is_some())
            .then(|| self.paused_until.unwrap_or(now + HELD_RETRY));
        let paused = self.paused_until;
        // Everybody is full: somebody will have taken something soon.
        let everybody_full = self.socket.is_some()
            && self.lanes.iter().flatten().any(Lane::is_admitted)
            && !self.is_accepting(now);
        let full = everybody_full.then_some(now + HELD_RETRY);
        let looks = self.lanes.iter().flatten().filter_map(|lane| lane.next_look(now)).min();
        debug_assert!(
            STALLED > HELD_RETRY,
            "a full queue is looked at before it counts as stalled"
        );
        [held, paused, full, looks].into_iter().flatten().min()
    }
}
