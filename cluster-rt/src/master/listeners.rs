//! The master's listening sockets: bound once, shared by every worker that binds the same address.
//!
//! Accepts nothing; that is the dispatcher's and, with some schedules, the workers'. A socket closes at
//! stop, or when every berth that had it has dropped it or is gone, never because a worker died.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::OwnedFd,
    sync::Arc,
};

use nix::libc;

use super::workers::Asked;
use crate::{
    endpoint::{Endpoint, Schedule},
    handoff::Queue,
    id::ListenerId,
    listen::{self, Made, refused},
    sys::{bpf::GROUP_MAX, inherited::AtStart, socket, unix::SocketFile},
    wire::{BindOptions, BindRefused, Kind, Wanted},
};

#[derive(Debug)]
pub(super) struct Listener {
    /// Whose it is: other services cannot bind the same.
    service: usize,
    pub(super) endpoint: Endpoint,
    /// What was asked for last, of what is possible.
    pub(super) schedule: Schedule,
    /// For which generation it was last told that what it asked for is not possible.
    told_for: Option<u32>,
    wanted: Wanted,
    v6only: Option<bool>,
    backlog: u32,
    /// The one socket, or with `Schedule::Kernel` one of each slot, in the order of the group. Empty
    /// once they are being closed.
    sockets: Vec<(usize, Arc<OwnedFd>)>,
    file: Option<SocketFile>,
    /// By berth.
    queues: BTreeMap<usize, Arc<Queue>>,
    /// The berths whose present or last worker has it.
    berths: BTreeSet<usize>,
}

/// Listeners of one cluster, and of one worker. Who asks for more gets EMFILE: a worker cannot make the
/// master grow, nor take all from the others.
const LISTENERS_MAX: usize = 1024;
const LISTENERS_OF_ONE_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Listeners {
    by_id: BTreeMap<ListenerId, Listener>,
    next: u32,
    at_start: AtStart,
    closed: bool,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    pub(super) slot: usize,
    pub(super) service: usize,
    pub(super) berth: usize,
    /// What it has open already.
    pub(super) own: &'a BTreeMap<ListenerId, Asked>,
    /// Of listeners that do not say their own.
    pub(super) schedule: Schedule,
    pub(super) generation: u32,
}

/// A bind that went well.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) listener: ListenerId,
    pub(super) endpoint: Endpoint,
    pub(super) schedule: Schedule,
    /// It asked for another, which takes effect at the next start; `None` when that has been told.
    pub(super) not_now: Option<Schedule>,
    /// Made just now, so that the dispatcher has to know: the listener, a socket, the berth's queue.
    pub(super) is_new: bool,
    pub(super) socket: Option<Arc<OwnedFd>>,
    pub(super) queue: Option<Arc<Queue>>,
    /// What the worker gets.
    pub(super) given: Vec<Arc<OwnedFd>>,
    /// The file of the path was gone: whether there is one again.
    pub(super) restored: Option<Result<(), BindRefused>>,
}

impl Listeners {
    pub(super) fn new(at_start: AtStart) -> Self {
        Self { by_id: BTreeMap::new(), next: 0, at_start, closed: false }
    }

    /// What is to be told of sockets that were there at the start and that nobody has asked for.
    pub(super) fn untaken(&self) -> Vec<String> {
        self.at_start.untaken()
    }

    /// Binds what is wanted, or finds it bound.
    pub(super) fn open(
        &mut self,
        wanted: &Wanted,
        options: &BindOptions,
        asker: Asker<'_>,
    ) -> Result<Opened, BindRefused> {
        let (id, is_new) = self.find_or_make(wanted, options, asker)?;
        let Some(listener) = self.by_id.get_mut(&id) else {
            return Err(refused("bind", &io::Error::other("the listener is gone")));
        };
        let not_now = listener.reschedule(wanted, options, asker);
        let mut restored = None;
        let made = if is_new {
            listener.sockets.first().map(|(_, socket)| Arc::clone(socket))
        } else if listener.has_lost_its_file() {
            let (socket, outcome) = listener.restore_file(options, asker.slot);
            restored = Some(outcome);
            socket
        } else {
            listener.widen(options, asker.slot)?
        };
        let socket = listener.socket_of(asker.slot);
        let mut given = Vec::new();
        let mut queue = None;
        if !listener.is_udp() {
            let (receiving, new) = listener.queue(asker.berth)?;
            given.push(receiving);
            queue = new;
        }
        if listener.is_udp() || listener.schedule.is_direct() {
            // Once the listeners are being closed there is none, and what waits is in the queues.
            given.extend(socket);
        }
        listener.berths.insert(asker.berth);
        Ok(Opened {
            listener: id,
            endpoint: listener.endpoint.clone(),
            schedule: listener.schedule,
            not_now,
            is_new,
            socket: made,
            queue,
            given,
            restored,
        })
    }

    fn find_or_make(
        &mut self,
        wanted: &Wanted,
        options: &BindOptions,
        asker: Asker<'_>,
    ) -> Result<(ListenerId, bool), BindRefused> {
        let same = |l: &Listener| {
            l.service == asker.service && l.wanted == *wanted && l.v6only == options.v6only
        };
        let known = self.by_id.iter().find(|(_, l)| same(l)).map(|(&id, _)| id);
        let refuse = |errno| Err(refused("bind", &io::Error::from_raw_os_error(errno)));
        match known {
            // As the second bind of a plain program would be.
            Some(id) if asker.own.contains_key(&id) => refuse(libc::EADDRINUSE),
            Some(id) => Ok((id, false)),
            // Sockets of a group could share it, and a socket that was inherited could be given twice.
            None if self.is_anothers(wanted, asker.service) => refuse(libc::EADDRINUSE),
            None if self.closed => refuse(libc::ESHUTDOWN),
            None if asker.own.len() >= LISTENERS_OF_ONE_MAX => refuse(libc::EMFILE),
            None if self.by_id.len() >= LISTENERS_MAX => refuse(libc::EMFILE),
            None => Ok((self.make(wanted, options, asker)?, true)),
        }
    }

    /// Whether another service listens there already. Port 0 is another port for each.
    fn is_anothers(&self, wanted: &Wanted, service: usize) -> bool {
        let any_port = match wanted {
            Wanted::Tcp { addr, .. } | Wanted::Udp { addr, .. } => addr.port() == 0,
            Wanted::Unix { .. } | Wanted::Inherited { .. } => false,
        };
        !any_port && self.by_id.values().any(|l| l.service != service && l.wanted == *wanted)
    }

    fn make(
        &mut self,
        wanted: &Wanted,
        options: &BindOptions,
        asker: Asker<'_>,
    ) -> Result<ListenerId, BindRefused> {
        let schedule = schedule_for(wanted, options.schedule.unwrap_or(asker.schedule));
        let Made { socket, endpoint, file } =
            listen::first(wanted, options, schedule, &self.at_start)?;
        let listener = Listener {
            service: asker.service,
            endpoint,
            schedule,
            told_for: None,
            wanted: wanted.clone(),
            v6only: options.v6only,
            backlog: options.backlog,
            sockets: vec![(asker.slot, Arc::new(socket))],
            file,
            queues: BTreeMap::new(),
            berths: BTreeSet::new(),
        };
        let id = ListenerId(self.next);
        self.next += 1;
        self.by_id.insert(id, listener);
        Ok(id)
    }

    pub(super) fn get(&self, id: ListenerId) -> Option<&Listener> {
        self.by_id.get(&id)
    }

    /// A queue in the place of one that a worker has shut down.
    pub(super) fn renew_queue(&mut self, id: ListenerId, berth: usize) -> io::Result<Arc<Queue>> {
        let queue = Arc::new(Queue::new()?);
        if let Some(listener) = self.by_id.get_mut(&id) {
            listener.queues.insert(berth, Arc::clone(&queue));
        }
        Ok(queue)
    }

    /// The worker in this berth dropped the listener; `true` if nobody has it now and it is gone.
    pub(super) fn drop_by(&mut self, id: ListenerId, berth: usize) -> bool {
        let Some(listener) = self.by_id.get_mut(&id) else { return false };
        listener.berths.remove(&berth);
        let gone = listener.berths.is_empty() && !self.closed;
        if gone {
            listener.remove_file();
            self.by_id.remove(&id);
        }
        gone
    }

    /// Nobody is going to be in this berth again; returns the listeners that nobody has now, which are
    /// gone: a reload that went well may leave such, when the new code does not bind what the old did.
    pub(super) fn retire(&mut self, berth: usize) -> Vec<ListenerId> {
        for listener in self.by_id.values_mut() {
            listener.queues.remove(&berth);
        }
        let all: Vec<ListenerId> = self.by_id.keys().copied().collect();
        all.into_iter().filter(|&id| self.has(id, berth) && self.drop_by(id, berth)).collect()
    }

    /// Slots have gone: closes the sockets to which datagrams would come that nobody reads, those of slots
    /// that their service does not have. A socket of connections stays: what waits there is handed over.
    pub(super) fn trim(&mut self, has: impl Fn(usize, usize) -> bool) {
        for listener in self.by_id.values_mut().filter(|l| l.is_udp()) {
            if listener.schedule == Schedule::Kernel {
                let service = listener.service;
                listener.sockets.retain(|(slot, _)| has(*slot, service));
            }
        }
    }

    /// Connections that wait in this berth.
    pub(super) fn waiting(&self, berth: usize) -> u64 {
        let queues = self.by_id.values().filter_map(|listener| listener.queues.get(&berth));
        queues.map(|queue| queue.waiting()).sum()
    }

    fn has(&self, id: ListenerId, berth: usize) -> bool {
        self.by_id.get(&id).is_some_and(|listener| listener.berths.contains(&berth))
    }

    /// From now on nothing new is bound, and the dispatcher alone has the sockets. The queues stay: a
    /// worker that replaces one which died meanwhile binds as before, and serves what waits.
    pub(super) fn close(&mut self) {
        self.closed = true;
        for listener in self.by_id.values_mut() {
            listener.sockets.clear();
            listener.remove_file();
        }
    }
}

impl Listener {
    fn is_udp(&self) -> bool {
        matches!(self.endpoint, Endpoint::Udp(_))
    }

    /// The socket that a worker of this slot accepts or reads from, if it does that itself.
    pub(super) fn socket_of(&self, slot: usize) -> Option<Arc<OwnedFd>> {
        let own =
            self.sockets.iter().find(|(of, _)| self.schedule != Schedule::Kernel || *of == slot);
        own.map(|(_, socket)| Arc::clone(socket))
    }

    /// What one more worker's bind changes: the largest backlog wins, and with `Schedule::Kernel` its
    /// slot has a socket of its own. Returns that if it is new.
    fn widen(
        &mut self,
        options: &BindOptions,
        slot: usize,
    ) -> Result<Option<Arc<OwnedFd>>, BindRefused> {
        if options.backlog > self.backlog && !self.is_udp() {
            for (_, socket) in &self.sockets {
                socket::listen(socket, options.backlog).map_err(|e| refused("listen", &e))?;
            }
            self.backlog = options.backlog;
        }
        let has_one = self.socket_of(slot).is_some() || self.sockets.is_empty();
        if has_one || self.sockets.len() >= GROUP_MAX {
            return Ok(None);
        }
        let options = BindOptions { backlog: self.backlog, ..options.clone() };
        let socket = Arc::new(listen::next(&self.endpoint, &options)?.socket);
        self.sockets.push((slot, Arc::clone(&socket)));
        Ok(Some(socket))
    }

    /// Nobody can connect to the path any more: somebody has removed the file, as what clears temporary
    /// directories does, or the whole directory.
    fn has_lost_its_file(&self) -> bool {
        self.file.as_ref().is_some_and(|file| !file.is_there())
    }

    /// Another socket at the path, which is the first from now on; what waits in the one before is served
    /// still. If there can be none, the listener stays what it was.
    fn restore_file(
        &mut self,
        options: &BindOptions,
        slot: usize,
    ) -> (Option<Arc<OwnedFd>>, Result<(), BindRefused>) {
        if self.sockets.len() >= GROUP_MAX {
            return (None, Err(refused("bind", &io::Error::from_raw_os_error(libc::EMFILE))));
        }
        let options = BindOptions { backlog: self.backlog.max(options.backlog), ..options.clone() };
        match listen::again(&self.endpoint, &options) {
            Ok(Made { socket, file, .. }) => {
                let socket = Arc::new(socket);
                self.sockets.insert(0, (slot, Arc::clone(&socket)));
                self.file = file;
                (Some(socket), Ok(()))
            }
            Err(error) => (None, Err(error)),
        }
    }

    /// The receiving end of the berth's queue, and the queue itself if it is new.
    fn queue(&mut self, berth: usize) -> Result<(Arc<OwnedFd>, Option<Arc<Queue>>), BindRefused> {
        match self.queues.get(&berth) {
            Some(queue) if !queue.is_shut_down() => Ok((queue.receiving_end(), None)),
            // None yet, or the last worker there has ruined it.
            _ => {
                let queue = Arc::new(Queue::new().map_err(|e| refused("socketpair", &e))?);
                self.queues.insert(berth, Arc::clone(&queue));
                Ok((queue.receiving_end(), Some(queue)))
            }
        }
    }

    /// Takes up another schedule, if that is possible with the sockets there are; the one that is not, if that is
    /// to be told.
    fn reschedule(
        &mut self,
        wanted: &Wanted,
        options: &BindOptions,
        asker: Asker<'_>,
    ) -> Option<Schedule> {
        let asked = schedule_for(wanted, options.schedule.unwrap_or(asker.schedule));
        if asked == self.schedule {
            return None;
        }
        if !asked.is_direct() && !self.schedule.is_direct() {
            self.schedule = asked;
            return None;
        }
        let told = self.told_for.replace(asker.generation);
        (told != Some(asker.generation)).then_some(asked)
    }

    fn remove_file(&mut self) {
        if let Some(file) = self.file.take() {
            file.remove();
        }
    }
}

/// The schedule that is possible: a group has an address, which a path and an inherited socket cannot
/// share; and datagrams are not accepted, so that workers read them from one socket or each from its own.
fn schedule_for(wanted: &Wanted, asked: Schedule) -> Schedule {
    match (wanted, asked) {
        (Wanted::Udp { .. }, Schedule::Kernel) => Schedule::Kernel,
        (Wanted::Udp { .. } | Wanted::Inherited { kind: Kind::Udp, .. }, _) => Schedule::Shared,
        (Wanted::Unix { .. } | Wanted::Inherited { .. }, Schedule::Kernel) => Schedule::RoundRobin,
        _ => asked,
    }
}
