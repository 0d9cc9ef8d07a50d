//! Making the sockets that workers ask for, in the master or, without one, in the process itself.
//!
//! One attempt, no memory of others: what is shared, and by whom, is the master's table to know.

use std::{io, os::fd::OwnedFd, path::Path};

use nix::libc;

use crate::{
    endpoint::{Endpoint, Inherited, Schedule},
    sys::{
        inherited::AtStart,
        socket::{self, Group, ListenError, Listening},
        unix::{self, Access, SocketFile},
    },
    wire::{BindOptions, BindRefused, Kind, Wanted},
};

/// A socket that listens, or that datagrams come to.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) socket: OwnedFd,
    pub(crate) endpoint: Endpoint,
    /// To be removed with it.
    pub(crate) file: Option<SocketFile>,
}

/// Makes the first socket for what is wanted.
pub(crate) fn first(
    wanted: &Wanted,
    options: &BindOptions,
    schedule: Schedule,
    at_start: &AtStart,
) -> Result<Made, BindRefused> {
    let grouped = schedule == Schedule::Kernel;
    match wanted {
        Wanted::Tcp { addr, .. } => {
            let make = if grouped { socket::listen_tcp_first_of_group } else { socket::listen_tcp };
            tcp(make(*addr, listening(options)))
        }
        Wanted::Udp { addr, .. } => {
            let group = if grouped { Group::Begins } else { Group::None };
            udp(socket::bind_udp(*addr, options.v6only, group))
        }
        Wanted::Unix { path } => local(path, options),
        Wanted::Inherited { which, kind } => inherited(which, *kind, options, at_start),
    }
}

/// Makes another socket of the group at `endpoint`.
pub(crate) fn next(endpoint: &Endpoint, options: &BindOptions) -> Result<Made, BindRefused> {
    match endpoint {
        Endpoint::Tcp(addr) => tcp(socket::listen_tcp_in_group(*addr, listening(options))),
        Endpoint::Udp(addr) => udp(socket::bind_udp(*addr, options.v6only, Group::Joins)),
        Endpoint::Unix(_) => Err(refused("bind", &io::Error::from_raw_os_error(libc::EOPNOTSUPP))),
    }
}

/// Makes another socket at the path of `endpoint`, whose file is gone.
pub(crate) fn again(endpoint: &Endpoint, options: &BindOptions) -> Result<Made, BindRefused> {
    match endpoint {
        Endpoint::Unix(path) => local(path, options),
        Endpoint::Tcp(_) | Endpoint::Udp(_) => next(endpoint, options),
    }
}

fn listening(options: &BindOptions) -> Listening {
    Listening { backlog: options.backlog, v6only: options.v6only }
}

fn tcp(made: Result<OwnedFd, ListenError>) -> Result<Made, BindRefused> {
    let socket = made.map_err(failed)?;
    let addr = socket::local_addr(&socket).map_err(|e| refused("getsockname", &e))?;
    Ok(Made { socket, endpoint: Endpoint::Tcp(addr), file: None })
}

fn udp(made: Result<OwnedFd, ListenError>) -> Result<Made, BindRefused> {
    let socket = made.map_err(failed)?;
    let addr = socket::local_addr(&socket).map_err(|e| refused("getsockname", &e))?;
    Ok(Made { socket, endpoint: Endpoint::Udp(addr), file: None })
}

fn local(path: &Path, options: &BindOptions) -> Result<Made, BindRefused> {
    let access = Access { mode: options.mode, owner: options.owner };
    let (socket, file) = unix::listen(path, access, options.backlog).map_err(failed)?;
    Ok(Made { socket, endpoint: Endpoint::Unix(path.to_owned()), file: Some(file) })
}

fn inherited(
    which: &Inherited,
    kind: Kind,
    options: &BindOptions,
    at_start: &AtStart,
) -> Result<Made, BindRefused> {
    let socket = at_start.get(which, kind).map_err(|e| refused("inherit", &e))?;
    if kind != Kind::Udp {
        // It may listen already; then this is what the backlog is from now on.
        socket::listen(&socket, options.backlog).map_err(|e| refused("listen", &e))?;
    }
    let addr = || socket::local_addr(&socket).map_err(|e| refused("getsockname", &e));
    let endpoint = match kind {
        Kind::Tcp => Endpoint::Tcp(addr()?),
        Kind::Udp => Endpoint::Udp(addr()?),
        Kind::Unix => Endpoint::Unix(socket::local_path(&socket).unwrap_or_default()),
    };
    Ok(Made { socket, endpoint, file: None })
}

fn failed(ListenError { operation, error }: ListenError) -> BindRefused {
    refused(operation, &error)
}

pub(crate) fn refused(operation: &str, error: &io::Error) -> BindRefused {
    let errno = error.raw_os_error().unwrap_or(match error.kind() {
        io::ErrorKind::InvalidInput => libc::EINVAL,
        _ => libc::EIO,
    });
    BindRefused { operation: operation.to_owned(), errno }
}
