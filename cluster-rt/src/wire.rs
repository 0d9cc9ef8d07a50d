//! The frames that master, zygote and worker exchange, one enum per direction, and their encoding.
//!
//! Does no I/O. Decoding never panics and never allocates more than the packet accounts for: postcard
//! checks every length against the bytes that are left. A change of any frame, or of the scoreboard's
//! layout, raises [`PROTOCOL_VERSION`].

pub(crate) mod address;
mod peeking;
#[cfg(test)]
mod random_tests;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) use self::peeking::{
    Entry, PEEK_BYTES_MAX, Peeking, TABLE_BYTES_MAX, TABLE_ENTRIES_MAX,
};
use crate::{
    config::{Credentials, Flavor},
    endpoint::{Endpoint, Inherited, Schedule},
    id::{ListenerId, WorkerId},
};

/// Told in both hellos, also of the mail lane's frames (`mail`) and of the scoreboard's rows; another
/// version is refused before anything else is said.
pub(crate) const PROTOCOL_VERSION: u32 = 5;

/// The largest packet on a link. Well below a socket's default send buffer (212 992 bytes).
pub(crate) const FRAME_BYTES_MAX: usize = 64 * 1024;

/// From the master to a zygote.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToZygote {
    /// The first frame, with the scoreboard's descriptor; and with the master's stderr, if the zygote
    /// was started with another.
    Begin {
        credentials: Option<Credentials>,
        /// The soft limit of open files for programs that user code starts, if it was raised.
        nofile: Option<u64>,
    },
    /// Fork a worker; with its ends of link and mail, and the stderr that it is to have at first, if
    /// that is another.
    Spawn { worker: WorkerId, slot: usize, row: u32 },
}

/// From a zygote to the master.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromZygote {
    /// The first frame.
    Hello { protocol: u32 },
    /// It cannot serve, and says why; it exits after this.
    Refused { reason: String },
    /// The worker exists and is a child of the master.
    Spawned { worker: WorkerId, pid: i32 },
    /// The kernel refused the fork.
    SpawnFailed { worker: WorkerId, errno: i32 },
    /// The answer to `Begin`: it forks on request from now on.
    Begun,
    /// Written by [`exec_failed`] in a process that could not become a zygote.
    ExecFailed { errno: [u8; 4] },
    /// Between `Begin` and its answer: it runs the user's preload, which may take long.
    Preloading,
}

/// The bytes of `FromZygote::ExecFailed`, made without allocating.
pub(crate) fn exec_failed(errno: i32) -> [u8; 5] {
    let [a, b, c, d] = errno.to_ne_bytes();
    // The variant's index, then the bytes of the array as they are (postcard's wire format).
    [5, a, b, c, d]
}

/// From the master to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// The answer to `Hello`: run `main`.
    Go(Go),
    /// The answer to `Bind`; with the receiving end of the handoff queue, then the socket itself if the
    /// worker accepts or reads from that; of UDP the socket alone.
    Bound { request: u32, outcome: Result<Bound, BindRefused> },
    /// The answer to `Share`; with the listening socket.
    Shared { request: u32 },
    /// Finish what you have; nothing new is coming.
    Drain,
    /// You sit in your slot: stderr is what it was.
    Promoted,
    /// The keys of a service are split otherwise from now on.
    Split(Split),
    /// The cluster's stop has begun.
    Stopping,
}

/// How the keys of a service are split over its slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Split {
    /// The hash of its name.
    pub(crate) service: u64,
    /// In the order in which they came to have a share: a share is a place in this list.
    pub(crate) slots: Vec<usize>,
    /// How often they have changed since the cluster was started.
    pub(crate) version: u64,
}

/// What a worker is and how it runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Go {
    pub(crate) slot: usize,
    pub(crate) generation: u32,
    /// What its service is called; `None` if the cluster names none.
    pub(crate) service: Option<String>,
    /// The services that messages can be for, by the hashes of their names.
    pub(crate) services: Vec<u64>,
    pub(crate) flavor: Flavor,
    /// For `Flavor::MultiThread`.
    pub(crate) worker_threads: usize,
    /// It sits in its slot from the start.
    pub(crate) sits: bool,
    /// How often to give a sign of life; `None` if nobody looks.
    pub(crate) heartbeat: Option<Duration>,
    /// Whether to stay on the processor of its slot.
    pub(crate) pin: bool,
    /// Of every service, its own among them.
    pub(crate) splits: Vec<Split>,
}

/// A listener that the worker may receive from.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) listener: ListenerId,
    /// What the socket really listens on.
    pub(crate) endpoint: Endpoint,
}

/// What a worker wants to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wanted {
    /// `nth` tells apart several binds of one address with port 0.
    Tcp {
        #[serde(with = "address")]
        addr: SocketAddr,
        nth: u32,
    },
    /// As with TCP.
    Udp {
        #[serde(with = "address")]
        addr: SocketAddr,
        nth: u32,
    },
    /// The path is absolute.
    Unix { path: PathBuf },
    /// A socket that the master was started with, of this kind.
    Inherited { which: Inherited, kind: Kind },
}

/// What a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Tcp,
    Udp,
    Unix,
}

/// How it is to listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BindOptions {
    /// `None` for the cluster's default.
    pub(crate) schedule: Option<Schedule>,
    pub(crate) backlog: u32,
    pub(crate) v6only: Option<bool>,
    pub(crate) limits: Limits,
    /// Connections beyond every worker's limit are closed, and do not wait in the kernel.
    pub(crate) close_excess: bool,
    /// The permissions of a Unix socket's file.
    pub(crate) mode: Option<u32>,
    /// Whose that file is.
    pub(crate) owner: Owner,
    /// How first bytes are looked at, with `Schedule::ByKey`; `None` for the defaults.
    pub(crate) peek: Option<Peeking>,
}

/// Whose a file is, in the kernel's numbers; `None` for whoever would have it otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

/// What one worker takes on one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Open and waiting connections of the worker at which it is full.
    pub(crate) connections: Option<u64>,
    /// Waiting connections at which it is full.
    pub(crate) waiting: u64,
}

/// The error of the plain call, for the worker to hand to its user.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BindRefused {
    /// Which call failed: `socket`, `bind` or `listen`.
    pub(crate) operation: String,
    pub(crate) errno: i32,
}

/// From a worker to the master.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FromWorker {
    /// The first frame.
    Hello { protocol: u32 },
    /// `main` is about to run.
    Online,
    /// Bind, or join who has bound the same.
    Bind { request: u32, wanted: Wanted, options: BindOptions },
    /// `accept` was polled on this listener for the first time.
    Accepting { listener: ListenerId },
    /// Hand over the listening socket itself.
    Share { request: u32, listener: ListenerId },
    /// The listener was dropped.
    Unlisten { listener: ListenerId },
    /// The user said ready.
    Ready,
    /// The worker got TERM, or its user asked for its end.
    StopAsked,
    /// `main` has ended, and this exit code follows.
    Ended { code: i32, panicked: bool },
    /// Its user asked for another worker in its place.
    ReplaceAsked,
}

/// How long a peer that was just started may take to say its first frame, or to answer one.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The bytes of `frame`.
///
/// # Errors
/// Says how long the frame is, if it is longer than [`FRAME_BYTES_MAX`].
pub(crate) fn encode<T: Serialize>(frame: &T) -> Result<Vec<u8>, String> {
    let bytes = postcard::to_stdvec(frame).map_err(|e| e.to_string())?;
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(format!("{} bytes, more than the {FRAME_BYTES_MAX} of a frame", bytes.len()));
    }
    Ok(bytes)
}

/// The frame in `bytes`, all of them.
///
/// # Errors
/// Says what is wrong with the bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((frame, [])) => Ok(frame),
        Ok((_, rest)) => Err(format!("{} bytes too many", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<FromWorker> {
        vec![
            FromWorker::Hello { protocol: PROTOCOL_VERSION },
            FromWorker::Bind {
                request: 7,
                wanted: Wanted::Tcp { addr: "[::1]:8080".parse().expect("an address"), nth: 2 },
                options: BindOptions {
                    schedule: Some(Schedule::Sticky),
                    backlog: 4096,
                    v6only: Some(true),
                    limits: Limits { connections: None, waiting: 64 },
                    close_excess: false,
                    mode: Some(0o660),
                    owner: Owner { uid: Some(33), gid: None },
                    peek: Some(Peeking::default()),
                },
            },
            FromWorker::Ended { code: -1, panicked: true },
        ]
    }

    #[test]
    fn frames_survive_the_round_trip() {
        for frame in frames() {
            let bytes = encode(&frame).expect("small enough");
            let back: FromWorker = decode(&bytes).expect("what was encoded");
            assert_eq!(format!("{frame:?}"), format!("{back:?}"));
        }
    }

    #[test]
    fn a_failed_exec_is_a_frame() {
        let frame = FromZygote::ExecFailed { errno: 13_i32.to_ne_bytes() };
        assert_eq!(encode(&frame).expect("small"), exec_failed(13));
    }

    #[test]
    fn half_a_frame_and_a_frame_with_a_tail_are_errors() {
        for frame in frames() {
            let mut bytes = encode(&frame).expect("small enough");
            for end in 0..bytes.len() {
                assert!(decode::<FromWorker>(&bytes[..end]).is_err(), "{frame:?} cut at {end}");
            }
            bytes.push(0);
            assert!(decode::<FromWorker>(&bytes).is_err());
        }
    }

    #[test]
    fn an_oversized_frame_is_refused_before_it_is_sent() {
        let frame = FromZygote::Refused { reason: "x".repeat(FRAME_BYTES_MAX) };
        assert!(encode(&frame).is_err());
    }
}
