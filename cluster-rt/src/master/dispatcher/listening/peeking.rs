//! Connections whose first bytes are awaited, to know where they belong.
//!
//! The bytes are looked at and never taken, so that a worker reads all of them. A connection is looked at when it
//! comes and then once for each arrival (EPOLLET), at most 64 times: one that is silent costs a descriptor and no
//! time. It leaves when its key is known, or when it is clear that it has none; nothing here waits.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    io::Errno,
    net::{RecvFlags, recv},
};

use crate::{
    endpoint::Peek,
    handoff::Connection,
    policy::{
        peek::{self, Seen},
        rendezvous,
        schedule::Home,
    },
    wire::Peeking,
};

/// Who sends its key in more pieces than this has none: each costs the master a look.
const LOOKS_MAX: u32 = 64;

/// Looked at in one go before orders are.
const BATCH: usize = 64;

/// What a connection is waiting for.
#[derive(Debug)]
struct Waiting {
    connection: Connection,
    until: Instant,
    looks: u32,
}

/// What is known of a connection.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Home(Home),
    More,
    Nothing,
    /// The client has reset it.
    Gone,
}

/// A connection that is not waited for any more, and where it belongs.
pub(super) type Decided = (Connection, Option<Home>);

#[derive(Debug)]
pub(super) struct Peeked {
    peek: Peek,
    rules: Peeking,
    buffer: Vec<u8>,
    /// `None` where the kernel refused one: then nothing is waited for.
    arrivals: Option<OwnedFd>,
    /// By the order in which they came, which is that of their deadlines.
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    share: DescriptorShare,
}

/// How many descriptors those take that wait, of all listeners together: at most a quarter of what this process may
/// have, or clients that send nothing could keep it from starting workers.
#[derive(Clone, Debug)]
pub(in crate::master::dispatcher) struct DescriptorShare {
    taken: Arc<AtomicUsize>,
    most: usize,
}

impl DescriptorShare {
    pub(in crate::master::dispatcher) fn of(limit: u64) -> Self {
        let most = usize::try_from(limit / 4).unwrap_or(usize::MAX);
        Self { taken: Arc::default(), most }
    }

    // One thread alone counts.
    fn take(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    fn give_back(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::Relaxed);
    }

    fn is_exceeded(&self) -> bool {
        self.taken.load(Ordering::Relaxed) > self.most
    }
}

impl Drop for Peeked {
    fn drop(&mut self) {
        self.share.give_back(self.waiting.len());
    }
}

impl Peeked {
    /// With the reason why nothing can be waited for, if so.
    pub(super) fn new(
        peek: Peek,
        rules: Peeking,
        share: DescriptorShare,
    ) -> (Self, Option<io::Error>) {
        let (arrivals, refused) = match epoll::create(epoll::CreateFlags::CLOEXEC) {
            Ok(arrivals) => (Some(arrivals), None),
            Err(error) => (None, Some(error.into())),
        };
        let rules = rules.clamped();
        let buffer = vec![0; rules.bytes as usize];
        let waiting = BTreeMap::new();
        (Self { peek, rules, buffer, arrivals, waiting, next: 0, share }, refused)
    }

    /// Looks by other rules from now on. Who waits does so no longer than those who come now.
    pub(super) fn follow(&mut self, peek: Peek, rules: Peeking, now: Instant) {
        let rules = rules.clamped();
        let latest = now + rules.timeout;
        for waiting in self.waiting.values_mut() {
            waiting.until = waiting.until.min(latest);
        }
        self.buffer.resize(rules.bytes as usize, 0);
        (self.peek, self.rules) = (peek, rules);
    }

    /// Whether what has no key is closed. Not where nobody can be waited for: then nobody's key is known.
    pub(super) fn closes(&self) -> bool {
        self.rules.close && self.arrivals.is_some()
    }

    /// Where a connection belongs, as far as its bytes say so now.
    pub(super) fn home_of(&mut self, connection: &Connection) -> Option<Home> {
        match self.look(&connection.socket) {
            Look::Home(home) => Some(home),
            Look::More | Look::Nothing | Look::Gone => None,
        }
    }

    fn look(&mut self, socket: &OwnedFd) -> Look {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let count = loop {
            match recv(socket, &mut *self.buffer, flags) {
                // The client sends no more, and has sent nothing.
                Ok((0, _)) => return Look::Nothing,
                Ok((count, _)) => break count,
                Err(Errno::AGAIN) => return Look::More,
                Err(Errno::INTR) => {}
                Err(_) => return Look::Gone,
            }
        };
        match peek::look(self.peek, &self.buffer[..count]) {
            Seen::Key(key) => Look::Home(Home {
                key: rendezvous::hash_of(&*key),
                table: self.rules.in_table(&key),
            }),
            Seen::More if count < self.buffer.len() => Look::More,
            Seen::More | Seen::Nothing => Look::Nothing,
        }
    }

    /// A new connection: what is known of it at once, or nothing, and it waits.
    pub(super) fn meet(&mut self, connection: Connection, now: Instant) -> Option<Decided> {
        match self.look(&connection.socket) {
            Look::Home(home) => return Some((connection, Some(home))),
            Look::Nothing => return Some((connection, None)),
            Look::Gone => return None,
            Look::More => {}
        }
        let (token, until) = (self.next, now + self.rules.timeout);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        let data = epoll::EventData::new_u64(token);
        // What has come since the look is an arrival.
        let added =
            self.arrivals.as_ref().map(|of| epoll::add(of, &connection.socket, data, flags));
        if !matches!(added, Some(Ok(()))) {
            return Some((connection, None));
        }
        self.next += 1;
        self.share.take();
        self.waiting.insert(token, Waiting { connection, until, looks: 1 });
        None
    }

    /// Looks at those of which something has come, some of them; returns those that need not wait any longer.
    pub(super) fn look_at_arrivals(&mut self) -> Vec<Decided> {
        let mut events = Vec::with_capacity(BATCH);
        let Some(arrivals) = self.arrivals.as_ref().filter(|_| !self.waiting.is_empty()) else {
            return Vec::new();
        };
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // What cannot be asked now is asked in the next round, or its time runs out.
        let _ = epoll::wait(arrivals, spare_capacity(&mut events), Some(&at_once));
        let mut decided = Vec::new();
        for event in events {
            let (token, flags) = (event.data.u64(), event.flags);
            let ended = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
            decided.extend(self.arrived(token, flags.intersects(ended)));
        }
        decided
    }

    fn arrived(&mut self, token: u64, is_last: bool) -> Option<Decided> {
        let mut waiting = self.waiting.remove(&token)?;
        waiting.looks += 1;
        let home = match self.look(&waiting.connection.socket) {
            Look::Home(home) => Some(home),
            Look::More if !is_last && waiting.looks < LOOKS_MAX => {
                self.waiting.insert(token, waiting);
                return None;
            }
            Look::More | Look::Nothing => None,
            Look::Gone => {
                self.share.give_back(1);
                return None;
            }
        };
        self.share.give_back(1);
        Some((self.let_go(waiting), home))
    }

    /// The next connection whose time is over, or that is one too many.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<Decided> {
        let too_many = self.waiting.len() > self.rules.waiting as usize || self.share.is_exceeded();
        let (_, first) = self.waiting.first_key_value()?;
        if too_many || first.until <= now { self.oldest() } else { None }
    }

    /// The connection that has waited longest, as if its time were over.
    pub(super) fn oldest(&mut self) -> Option<Decided> {
        let (_, waiting) = self.waiting.pop_first()?;
        self.share.give_back(1);
        let connection = self.let_go(waiting);
        let home = self.home_of(&connection);
        Some((connection, home))
    }

    fn let_go(&self, Waiting { connection, .. }: Waiting) -> Connection {
        // Closing our descriptor would not do: the socket lives on in a worker.
        if let Some(arrivals) = &self.arrivals {
            let _ = epoll::delete(arrivals, &connection.socket);
        }
        connection
    }

    /// All that wait; no more will.
    pub(super) fn end(&mut self) -> Vec<Connection> {
        self.arrivals = None;
        self.share.give_back(self.waiting.len());
        std::mem::take(&mut self.waiting).into_values().map(|waiting| waiting.connection).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Readable when something has come.
    pub(super) fn arrivals(&self) -> Option<BorrowedFd<'_>> {
        self.arrivals.as_ref().filter(|_| !self.waiting.is_empty()).map(AsFd::as_fd)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, waiting)| waiting.until)
    }
}
