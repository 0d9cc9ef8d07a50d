//! What a listener listens on, `Endpoint` or [`Inherited`], and how its connections are shared,
//! [`Schedule`] and [`Peek`].
//!
//! Plain values, as workers ask for them and as owners are told of them. Nothing here opens a socket.

use std::{fmt, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    policy::peek::{self, Seen},
    wire::address,
};

/// What a worker listens on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Endpoint {
    /// A TCP listener, with the port that replaced a 0.
    Tcp(#[serde(with = "address")] SocketAddr),
    /// A UDP socket, with the port that replaced a 0.
    Udp(#[serde(with = "address")] SocketAddr),
    /// A Unix stream listener, with its absolute path; empty for one that has none.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Udp(addr) => write!(f, "udp {addr}"),
            Self::Unix(path) if path.as_os_str().is_empty() => f.write_str("unix (no path)"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// One of the sockets that the program was started with.
///
/// From a `&str` or `String` it is a name, from an `i32` a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Inherited {
    /// What a service manager calls it: the first of that name in `LISTEN_FDNAMES`, systemd's
    /// `FileDescriptorName=`. See `sd_listen_fds(3)`.
    Name(String),
    /// The number of the descriptor in the process that was started, 3 or above: Node's `{ fd: 3 }`.
    Number(i32),
}

impl From<&str> for Inherited {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for Inherited {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl From<i32> for Inherited {
    fn from(number: i32) -> Self {
        Self::Number(number)
    }
}

impl fmt::Display for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "socket {name:?}"),
            Self::Number(number) => write!(f, "descriptor {number}"),
        }
    }
}

/// Who accepts the connections of a listener, and which worker gets the next one.
///
/// The default of all listeners is the attribute's `schedule = "round-robin"`; one listener's own is
/// [`ListenOptions::schedule`](crate::net::ListenOptions::schedule).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Schedule {
    /// The master accepts and hands over to each worker in its turn: even and exact. Node's `SCHED_RR`.
    #[default]
    #[doc(alias = "SCHED_RR")]
    RoundRobin,
    /// The master hands over to the worker that has the fewest connections open or waiting, for
    /// requests of uneven cost.
    LeastConnections,
    /// The master hands all connections of one client address to the same slot, for servers that keep
    /// something of a client in memory. The slot is found by rendezvous hashing over the slots there
    /// are: it survives a respawn, and with one slot more or less only that slot's share of the clients
    /// moves. While the slot has no worker, or its worker takes nothing, a connection waits for a second
    /// and then goes to the client's next slot.
    #[doc(alias = "ip_hash")]
    Sticky,
    /// The workers accept from the one socket themselves, as the kernel wakes them: no hand-over, and
    /// no evenness. Node's `SCHED_NONE`.
    #[doc(alias = "SCHED_NONE")]
    Shared,
    /// Each slot has a socket of its own with `SO_REUSEPORT`, all held by the master, and the kernel
    /// chooses: in turn by an eBPF program where the master may load one (`CAP_BPF` and `CAP_NET_ADMIN`),
    /// else at random by a classic one. No hand-over, for the highest rates of connections.
    ///
    /// A program of the same user that sets `SO_REUSEPORT` can join such an address; starting this
    /// program twice is refused as always. A path and an inherited socket have no group: there it is
    /// round robin. Of UDP, see [`UdpSocket`](crate::UdpSocket).
    #[doc(alias = "SO_REUSEPORT")]
    Kernel,
    /// The master looks at the first bytes of a connection, without taking them, and hands it to the worker to
    /// which the key in them belongs: the one whose [`Shard::owns`](crate::Shard::owns) says so of the same
    /// key, as a `&str`. What it looks for, [`Peek`] says; how long and how far,
    /// [`PeekOptions`](crate::net::PeekOptions).
    ///
    /// While the slot has no worker, or its worker takes nothing, a connection waits for a second and then goes to
    /// the key's next slot. A connection without a key goes to each worker in its turn; so do, at a stop, those whose
    /// key has not come yet. Only the first request of a connection counts. Datagrams have no such schedule, and
    /// are `Shared`.
    ByKey(Peek),
}

/// Where in the first bytes of a connection its key is, for [`Schedule::ByKey`].
///
/// The key is what a client says it is: it decides where a connection is served, and says nothing of who the client
/// may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Peek {
    /// The `Host` header of the first HTTP/1 request, in lower case, without the port and without a dot at the end;
    /// an IPv6 address in brackets, as [`Ipv6Addr`](std::net::Ipv6Addr) writes it. A host in the first line, as
    /// clients of proxies send it, is not looked at. HTTP/2 has no key here.
    Host,
    /// The server name (SNI) in the hello of a TLS client, in lower case.
    #[doc(alias = "SNI")]
    ServerName,
    /// The source address in a PROXY protocol header, version 1 or 2, as [`IpAddr`](std::net::IpAddr) writes it;
    /// an IPv4 address is the same in IPv6. The worker reads the header too, as nothing is taken from it.
    ///
    /// Only behind a balancer that writes it, and where nobody else can connect: any client can write one, and
    /// choose its worker by that.
    Proxy,
    /// The first line, as it is, for protocols of one's own. It has to be UTF-8, and is not empty.
    Line,
}

impl Peek {
    /// The key that the master sees in the first bytes of a connection; `None` if there is none, or not yet.
    ///
    /// ```
    /// use cluster::net::Peek;
    ///
    /// let request = b"GET / HTTP/1.1\r\nHost: Example.com:8080\r\n\r\n";
    /// assert_eq!(Peek::Host.key(request).as_deref(), Some("example.com"));
    /// assert_eq!(Peek::Proxy.key(request), None);
    /// ```
    pub fn key(self, first: &[u8]) -> Option<String> {
        match peek::look(self, first) {
            Seen::Key(key) => Some(key.into_owned()),
            Seen::More | Seen::Nothing => None,
        }
    }
}

impl Schedule {
    /// Whether workers accept from a socket themselves.
    pub(crate) fn is_direct(self) -> bool {
        matches!(self, Self::Shared | Self::Kernel)
    }

    /// Whether a connection has a slot, for whose worker it waits.
    pub(crate) fn has_homes(self) -> bool {
        matches!(self, Self::Sticky | Self::ByKey(_))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RoundRobin => "round-robin",
            Self::LeastConnections => "least-connections",
            Self::Sticky => "sticky",
            Self::Shared => "shared",
            Self::Kernel => "kernel",
            Self::ByKey(Peek::Host) => "by-host",
            Self::ByKey(Peek::ServerName) => "by-server-name",
            Self::ByKey(Peek::Proxy) => "by-proxy",
            Self::ByKey(Peek::Line) => "by-line",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_told_as_one_would_write_them() {
        let addr: SocketAddr = "[::1]:80".parse().expect("an address");
        assert_eq!(Endpoint::Tcp(addr).to_string(), "[::1]:80");
        assert_eq!(Endpoint::Udp(addr).to_string(), "udp [::1]:80");
        assert_eq!(Endpoint::Unix("/run/x.sock".into()).to_string(), "/run/x.sock");
    }
}
