//! The master's listening sockets: bound once, shared by every worker that binds the same address.
//!
//! Accepts nothing; that is the dispatcher's. A socket closes at stop, or when every berth that had it
//! has dropped it or is gone, never because a worker died.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::Arc,
};

use nix::libc;

use crate::{
    handoff::Queue,
    id::ListenerId,
    sys::socket::{self, ListenError},
    wire::BindRefused,
};

/// What a worker asks for. The n-th bind of one address with port 0 is the same socket in every worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) addr: SocketAddr,
    pub(super) nth: u32,
}

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) addr: SocketAddr,
    /// `None` once it is being closed.
    pub(super) socket: Option<Arc<OwnedFd>>,
    key: Key,
    /// By berth.
    queues: BTreeMap<usize, Arc<Queue>>,
    /// The berths whose present or last worker has it.
    berths: BTreeSet<usize>,
}

/// Listeners of one cluster, and of one worker. Who asks for more gets EMFILE: a worker cannot make the
/// master grow, nor take all from the others.
const LISTENERS_MAX: usize = 1024;
const LISTENERS_OF_ONE_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Listeners {
    by_id: BTreeMap<ListenerId, Listener>,
    next: u32,
    closed: bool,
}

/// A bind that went well.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) listener: ListenerId,
    pub(super) addr: SocketAddr,
    /// The socket was made just now: the dispatcher has to know it.
    pub(super) socket: Option<Arc<OwnedFd>>,
    /// So was the berth's queue.
    pub(super) queue: Option<Arc<Queue>>,
    /// What the worker receives from.
    pub(super) receiving: Arc<OwnedFd>,
}

impl Listeners {
    /// Binds `key` for the worker in `berth`, which has `own` open already.
    pub(super) fn open(
        &mut self,
        key: Key,
        backlog: u32,
        berth: usize,
        own: &BTreeSet<ListenerId>,
    ) -> Result<Opened, BindRefused> {
        let known = self.by_id.iter().find(|(_, l)| l.key == key).map(|(&id, _)| id);
        let (id, fresh) = match known {
            // As the second bind of a plain program would be.
            Some(id) if own.contains(&id) => {
                return Err(refused("bind", &io::Error::from_raw_os_error(libc::EADDRINUSE)));
            }
            Some(id) => (id, false),
            None if self.closed => {
                return Err(refused("bind", &io::Error::from_raw_os_error(libc::ESHUTDOWN)));
            }
            None if own.len() >= LISTENERS_OF_ONE_MAX => {
                return Err(refused("bind", &io::Error::from_raw_os_error(libc::EMFILE)));
            }
            None => (self.listen(key, backlog)?, true),
        };
        let Some(listener) = self.by_id.get_mut(&id) else {
            return Err(refused("bind", &io::Error::other("the listener is gone")));
        };
        let (queue, new_queue) = match listener.queues.get(&berth) {
            Some(queue) if !queue.is_shut_down() => (Arc::clone(queue), false),
            // None yet, or the last worker there has ruined it.
            _ => {
                let queue = Arc::new(Queue::new().map_err(|e| refused("socketpair", &e))?);
                listener.queues.insert(berth, Arc::clone(&queue));
                (queue, true)
            }
        };
        listener.berths.insert(berth);
        Ok(Opened {
            listener: id,
            addr: listener.addr,
            socket: listener.socket.clone().filter(|_| fresh),
            receiving: queue.receiving_end(),
            queue: new_queue.then_some(queue),
        })
    }

    fn listen(&mut self, key: Key, backlog: u32) -> Result<ListenerId, BindRefused> {
        if self.by_id.len() >= LISTENERS_MAX {
            return Err(refused("bind", &io::Error::from_raw_os_error(libc::EMFILE)));
        }
        let failed = |e: ListenError| refused(e.operation, &e.error);
        let socket = socket::listen_tcp(key.addr, backlog).map_err(failed)?;
        let addr = socket::local_addr(&socket).map_err(|e| refused("getsockname", &e))?;
        let id = ListenerId(self.next);
        self.next += 1;
        let socket = Some(Arc::new(socket));
        let (queues, berths) = (BTreeMap::new(), BTreeSet::new());
        self.by_id.insert(id, Listener { addr, socket, key, queues, berths });
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
        self.by_id.values_mut().for_each(|listener| listener.socket = None);
    }
}

fn refused(operation: &str, error: &io::Error) -> BindRefused {
    BindRefused {
        operation: operation.to_owned(),
        errno: error.raw_os_error().unwrap_or(libc::EIO),
    }
}
