//! How a listener listens and shares its connections: [`ListenOptions`].
//!
//! Plain values; what they mean to the kernel is decided where the socket is made.

use std::{io, path::Path};

use super::peek::PeekOptions;
use crate::{
    endpoint::{Inherited, Schedule},
    handoff::WAITING_MAX,
    sys::credentials::{group_id, owner_id},
    wire::{BindOptions, Limits, Owner},
};

/// Connections that the kernel completes and keeps while nobody accepts; it lowers this to
/// `net.core.somaxconn`, 4096 by default.
const BACKLOG: u32 = 4096;

/// What becomes of a connection when every worker has as many as it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It waits in the kernel's backlog until a worker has room.
    #[default]
    Wait,
    /// The master accepts and closes it, so that its client learns at once. Node's `dropMaxConnection`.
    /// Only with schedules by which the master accepts.
    #[doc(alias = "dropMaxConnection")]
    Close,
}

/// How a listener listens, for [`TcpListener::bind_with`](crate::TcpListener::bind_with) and its like.
///
/// ```no_run
/// use cluster::{Schedule, TcpListener, net::ListenOptions};
///
/// # async fn bind() -> std::io::Result<()> {
/// let options = ListenOptions::new().schedule(Schedule::LeastConnections).connections_max(1000);
/// let listener = TcpListener::bind_with("0.0.0.0:8080", &options).await?;
/// # Ok(())
/// # }
/// ```
///
/// Every worker binds, and the socket is one. `v6only`, `mode`, `owner` and `group` are those of the worker that binds
/// first, of the backlogs the largest counts, and the limits are each worker's own. Schedule, `peek` and `when_full`
/// are the same for all workers: those of the newest generation of which one accepts, so that a reload changes them
/// once its first newcomer has stood its trial, and a reload that fails changes them back. Only to and from
/// [`Shared`](Schedule::Shared) and [`Kernel`](Schedule::Kernel), which take other sockets, a schedule does not
/// change before the next start; that is told once for each reload. Within one generation all should ask for the
/// same.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    pub(crate) schedule: Option<Schedule>,
    backlog: u32,
    v6only: Option<bool>,
    connections: Option<u64>,
    waiting: u64,
    when_full: WhenFull,
    mode: Option<u32>,
    owner: Option<String>,
    group: Option<String>,
    /// The numbers of those two, once they are found.
    ids: Owner,
    peek: Option<PeekOptions>,
    pub(crate) inherited: Option<Inherited>,
    pub(crate) exclusive: bool,
    pub(crate) reuse_port: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ListenOptions {
    /// Every default.
    pub fn new() -> Self {
        Self {
            schedule: None,
            backlog: BACKLOG,
            v6only: None,
            connections: None,
            waiting: WAITING_MAX,
            when_full: WhenFull::Wait,
            mode: None,
            owner: None,
            group: None,
            ids: Owner::default(),
            peek: None,
            inherited: None,
            exclusive: false,
            reuse_port: false,
        }
    }

    /// How the connections are shared. Default: the cluster's `schedule`.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Connections that the kernel completes and keeps while nobody accepts. Default: 4096. The kernel
    /// lowers it to `net.core.somaxconn` (`listen(2)`).
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Whether an IPv6 socket leaves IPv4 alone, so that `[::]:80` and `0.0.0.0:80` are two listeners.
    /// Default: the system's, by which `[::]` serves both (`ipv6(7)`, `IPV6_V6ONLY`).
    pub fn v6only(mut self, v6only: bool) -> Self {
        self.v6only = Some(v6only);
        self
    }

    /// As many connections as this worker may have, open or waiting for it, whatever listener they came
    /// from. With that many it is passed over; with all workers full, see [`when_full`](Self::when_full).
    /// 0 gives this worker none. Default: no limit. Node's `server.maxConnections`.
    ///
    /// The master looks at a full worker every 10 ms (250 ms with [`Schedule::Kernel`]), so that costs
    /// nothing while none is.
    #[doc(alias = "maxConnections")]
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.connections = Some(connections as u64);
        self
    }

    /// What becomes of connections when every worker has as many as it may. Default: they wait.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// As many connections as may wait for this worker in the master's queue, beyond which it is passed
    /// over; clamped to 1 to 64. Default: 64. A small number keeps connections from waiting behind a slow
    /// worker; they wait in the kernel's backlog, for whoever is free first.
    pub fn waiting_max(mut self, connections: usize) -> Self {
        self.waiting = (connections as u64).clamp(1, WAITING_MAX);
        self
    }

    /// The permissions of a Unix socket's file, such as `0o660`, set before anybody can connect.
    /// Default: those that the process's umask leaves.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// The user that a Unix socket's file belongs to, by name or number, from before anybody can connect.
    /// Default: the user that the cluster's workers run as (`user` of [`cluster::main`](macro@crate::main),
    /// [`Builder::user`](crate::Builder::user)), else whoever started the program. With others than Unix
    /// sockets it has no effect.
    ///
    /// ```no_run
    /// use cluster::{UnixListener, net::ListenOptions};
    ///
    /// # async fn bind() -> std::io::Result<()> {
    /// // For nginx, which runs in that group, and for nobody else.
    /// let options = ListenOptions::new().group("www-data").mode(0o660);
    /// let listener = UnixListener::bind_with("/run/app.sock", &options).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A bind is an error of the kind `InvalidInput` if there is no such user, and `PermissionDenied` if the master
    /// may not give files away, for which it needs CAP_CHOWN, as root has it.
    #[doc(alias = "chown")]
    pub fn owner(mut self, name_or_uid: impl Into<String>) -> Self {
        self.owner = Some(name_or_uid.into());
        self
    }

    /// The group that a Unix socket's file belongs to, as [`owner`](Self::owner). Default: the group that the
    /// cluster's workers run as, else the one that the system gives to new files there. Without CAP_CHOWN the master
    /// may give a file of its own to a group that it is in.
    pub fn group(mut self, name_or_gid: impl Into<String>) -> Self {
        self.group = Some(name_or_gid.into());
        self
    }

    /// How long and how far first bytes are looked at, with [`Schedule::ByKey`]; with others it has no effect.
    /// Default: [`PeekOptions::new`].
    pub fn peek(mut self, peek: PeekOptions) -> Self {
        self.peek = Some(peek);
        self
    }

    /// Takes this socket, if the program was started with it, and binds the address only if not: one
    /// program then runs with and without socket activation. Without an address it is
    /// [`TcpListener::inherited`](crate::TcpListener::inherited).
    ///
    /// A socket of a service manager's that nobody has taken when every service is up is a warning, with the names
    /// that were asked for in vain.
    pub fn inherited(mut self, which: impl Into<Inherited>) -> Self {
        self.inherited = Some(which.into());
        self
    }

    /// Binds in this worker alone, as a plain program would: the master knows nothing of it, a second
    /// worker that binds the same address gets `AddrInUse`, and when the worker dies the address is free
    /// and what waits is lost. For a port that only one slot serves. Default: off. Node's `exclusive`.
    pub fn exclusive(mut self, exclusive: bool) -> Self {
        self.exclusive = exclusive;
        self
    }

    /// As [`exclusive`](Self::exclusive), with `SO_REUSEPORT`: each worker has its own socket at the
    /// address, and others of this user can join. Default: off. [`Schedule::Kernel`] does the same without
    /// losing what waits when a worker dies. Node's `reusePort`.
    #[doc(alias = "reusePort")]
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.reuse_port = reuse_port;
        self
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        self.connections
    }

    /// # Errors
    /// Something in them is beyond its bounds.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.peek.as_ref().map_or(Ok(()), PeekOptions::check)
    }

    /// The same with the numbers of owner and group, for a socket at `path`. Whether there is such a user may be a
    /// service's to say, so that a thread of its own waits for that.
    ///
    /// # Errors
    /// There is none of that name.
    pub(super) async fn with_ids(&self, path: &Path) -> io::Result<Self> {
        let mut options = self.clone();
        let (owner, group) = (self.owner.clone(), self.group.clone());
        if owner.is_some() || group.is_some() {
            let find = move || {
                let uid = owner.as_deref().map(owner_id).transpose()?;
                let gid = group.as_deref().map(group_id).transpose()?;
                Ok(Owner { uid, gid })
            };
            let found: Result<Owner, String> = tokio::task::spawn_blocking(find).await?;
            options.ids = found.map_err(|what| {
                let text = format!("bind {}: {what}", path.display());
                io::Error::new(io::ErrorKind::InvalidInput, text)
            })?;
        }
        Ok(options)
    }

    /// As they are told to the master.
    pub(crate) fn told(&self) -> BindOptions {
        BindOptions {
            schedule: self.schedule,
            backlog: self.backlog,
            v6only: self.v6only,
            limits: Limits { connections: self.connections, waiting: self.waiting },
            close_excess: self.when_full == WhenFull::Close,
            mode: self.mode,
            owner: self.ids,
            peek: self.peek.as_ref().map(PeekOptions::told),
        }
    }
}
