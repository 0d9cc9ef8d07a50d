//! Asking the master for a socket, or making it where there is none to ask.
//!
//! `refusal` words the errors.

use std::{
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    options::ListenOptions,
    refusal::{no_answer, refused, wanted_words},
};
use crate::{
    endpoint::{Endpoint, Schedule},
    id::ListenerId,
    listen::{self, Made},
    sys::{inherited::AtStart, unix::SocketFile},
    wire::{Bound as Answered, FromWorker, Kind, Wanted},
    worker::{ANSWER_TIMEOUT, Answer, Backing, Current},
};

/// How the master's answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// By a task of a runtime.
    Await,
    /// By this thread; then the future is ready when it is first polled.
    Block,
}

/// How often a blocked thread looks for the answer.
const BLOCKED_PAUSE: Duration = Duration::from_micros(200);

/// A bound listener, as its worker holds it.
#[derive(Debug)]
pub(crate) struct Bound {
    /// `None` where the master knows nothing of it.
    pub(crate) listener: Option<ListenerId>,
    pub(crate) endpoint: Endpoint,
    /// The receiving end of the handoff queue.
    pub(crate) queue: Option<OwnedFd>,
    /// The socket itself, if this worker accepts or reads from it.
    pub(crate) socket: Option<OwnedFd>,
    /// The file of a socket of this process's own.
    pub(crate) file: Option<SocketFile>,
}

/// Takes the inherited socket that the options name, if it is there, else binds what is wanted.
pub(crate) async fn bind(
    current: &'static Current,
    wanted: Wanted,
    options: &ListenOptions,
    how: How,
) -> io::Result<Bound> {
    if let Some(which) = options.inherited.clone() {
        let inherited = Wanted::Inherited { which, kind: kind_of(&wanted) };
        match bind_one(current, inherited, options, how).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            bound => return bound,
        }
    }
    bind_one(current, wanted, options, how).await
}

/// Binds what is wanted.
pub(crate) async fn bind_one(
    current: &'static Current,
    wanted: Wanted,
    options: &ListenOptions,
    how: How,
) -> io::Result<Bound> {
    options.check()?;
    let wanted = numbered(current, wanted);
    let bound = match &current.backing {
        Backing::Solo { at_start, .. } => bind_here(&wanted, options, at_start),
        Backing::Master { .. } if options.exclusive || options.reuse_port => {
            bind_here(&wanted, options, &AtStart::default())
        }
        Backing::Master { .. } => ask(current, &wanted, options, how).await,
    };
    match bound {
        Ok(_) => current.serves_alone(),
        Err(_) => abandon(current, &wanted),
    }
    bound
}

async fn ask(
    current: &'static Current,
    wanted: &Wanted,
    options: &ListenOptions,
    how: How,
) -> io::Result<Bound> {
    let Backing::Master { requests, .. } = &current.backing else {
        return Err(no_answer("bind", &wanted_words(wanted)));
    };
    let (request, answer) = requests.open();
    let options = options.told();
    current.tell(&FromWorker::Bind { request, wanted: wanted.clone(), options });
    let answer = match how {
        How::Await => tokio::time::timeout(ANSWER_TIMEOUT, answer).await.ok().and_then(Result::ok),
        How::Block => blocked(answer),
    };
    match answer {
        Some(Answer::Bound(Ok((bound, fds)))) => received(bound, fds),
        Some(Answer::Bound(Err(refusal))) => {
            Err(refused(&refusal.operation, wanted, io::Error::from_raw_os_error(refusal.errno)))
        }
        _ => Err(no_answer("bind", &wanted_words(wanted))),
    }
}

/// Waits on this thread, but not for long: the answer is read by a thread of the cluster's own.
fn blocked(mut answer: oneshot::Receiver<Answer>) -> Option<Answer> {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    while Instant::now() < deadline {
        match answer.try_recv() {
            Ok(answer) => return Some(answer),
            Err(oneshot::error::TryRecvError::Empty) => std::thread::sleep(BLOCKED_PAUSE),
            Err(oneshot::error::TryRecvError::Closed) => break,
        }
    }
    None
}

fn received(Answered { listener, endpoint }: Answered, fds: Vec<OwnedFd>) -> io::Result<Bound> {
    let mut fds = fds.into_iter();
    let is_udp = matches!(endpoint, Endpoint::Udp(_));
    let queue = if is_udp { None } else { fds.next() };
    let socket = fds.next();
    if queue.is_none() && socket.is_none() {
        let text = format!(
            "bind {endpoint}: this process has no descriptor free (raise the limit of open files, \
             `ulimit -n`)"
        );
        return Err(io::Error::other(text));
    }
    Ok(Bound { listener: Some(listener), endpoint, queue, socket, file: None })
}

/// Makes the socket in this process.
fn bind_here(wanted: &Wanted, options: &ListenOptions, at_start: &AtStart) -> io::Result<Bound> {
    // A group that anybody may have begun is one that is joined.
    let made = match wanted {
        Wanted::Tcp { addr, .. } if options.reuse_port => {
            listen::next(&Endpoint::Tcp(*addr), &options.told())
        }
        Wanted::Udp { addr, .. } if options.reuse_port => {
            listen::next(&Endpoint::Udp(*addr), &options.told())
        }
        _ => listen::first(wanted, &options.told(), Schedule::RoundRobin, at_start),
    };
    let failed = |refusal: crate::wire::BindRefused| {
        refused(&refusal.operation, wanted, io::Error::from_raw_os_error(refusal.errno))
    };
    let Made { socket, endpoint, file } = made.map_err(failed)?;
    Ok(Bound { listener: None, endpoint, queue: None, socket: Some(socket), file })
}

/// The n-th bind of any port 0 is the same port in every worker, since they run the same code.
fn numbered(current: &Current, wanted: Wanted) -> Wanted {
    match wanted {
        Wanted::Tcp { addr, .. } if addr.port() == 0 => {
            Wanted::Tcp { addr, nth: current.begin_port_zero_bind() }
        }
        Wanted::Udp { addr, .. } if addr.port() == 0 => {
            Wanted::Udp { addr, nth: current.begin_port_zero_bind() }
        }
        wanted => wanted,
    }
}

fn abandon(current: &Current, wanted: &Wanted) {
    if let Wanted::Tcp { addr, nth } | Wanted::Udp { addr, nth } = wanted {
        if addr.port() == 0 {
            current.abandon_port_zero_bind(*nth);
        }
    }
}

fn kind_of(wanted: &Wanted) -> Kind {
    match wanted {
        Wanted::Tcp { .. } => Kind::Tcp,
        Wanted::Udp { .. } => Kind::Udp,
        Wanted::Unix { .. } => Kind::Unix,
        Wanted::Inherited { kind, .. } => *kind,
    }
}

/// The path as the master can use it, whose directory may be another.
pub(crate) fn absolute(path: PathBuf) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    if path.as_os_str().as_bytes().first() == Some(&0) {
        let text = "bind: an abstract Unix address cannot be shared: give a path";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    std::path::absolute(path)
}

/// Gets the listening socket behind `listener`. Blocks, but not for long.
pub(crate) fn share(
    current: &'static Current,
    listener: ListenerId,
    endpoint: &Endpoint,
) -> io::Result<OwnedFd> {
    let Backing::Master { requests, .. } = &current.backing else {
        return Err(io::Error::other("a listener without a master is the socket itself"));
    };
    let (request, answer) = requests.open();
    current.tell(&FromWorker::Share { request, listener });
    match blocked(answer) {
        Some(Answer::Shared(socket)) => Ok(socket),
        _ => Err(no_answer("into_std", &endpoint.to_string())),
    }
}
