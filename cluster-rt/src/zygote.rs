//! The zygote: a process of one thread that forks a worker whenever the master asks for one.
//!
//! Never touches tokio, installs no listener, reads no configuration. It was exec'd by the master from
//! the inode that the program was started from, so that a respawn never meets new code. When the link
//! to the master ends, so does the zygote; its workers, which are the master's children, do not notice.
//! Before the first fork it runs the user's preload (`leftovers` looks at what that leaves).

mod leftovers;

use std::{
    io::{self, Write},
    os::fd::{OwnedFd, RawFd},
    time::{Duration, Instant},
};

use nix::{errno::Errno, sys::signal::Signal};

use crate::{
    config::Credentials,
    id::WorkerId,
    link::{Link, LinkError},
    preload::Preload,
    sys::{
        child::remember_nofile,
        fork::{Forked, fork_twice},
        process,
        scoreboard::Scoreboard,
        signal::{self, Blocked},
        socket::is_seqpacket,
        stderr,
        wake::poll_until,
    },
    wire::{FromZygote, HANDSHAKE_TIMEOUT, PROTOCOL_VERSION, ToZygote},
};

/// What the master tells a zygote by environment variable: where its link is and who the master is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handover {
    pub(crate) link: RawFd,
    pub(crate) master: i32,
    pub(crate) generation: u32,
}

impl Handover {
    pub(crate) fn encode(&self) -> String {
        let Self { link, master, generation } = self;
        format!("{}={PROTOCOL_VERSION}.{link}.{master}.{generation}", process::HANDOVER_VARIABLE)
    }

    /// Reads the variable's value.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn decode(value: &str) -> Result<Self, String> {
        let mut parts = value.split('.');
        let mut next = || parts.next().and_then(|part| part.parse::<u32>().ok());
        if next() != Some(PROTOCOL_VERSION) {
            return Err(format!("not of protocol version {PROTOCOL_VERSION}"));
        }
        match (next(), next(), next(), parts.next()) {
            (Some(link), Some(master), Some(generation), None) => Ok(Self {
                link: link.try_into().map_err(|_| "no descriptor".to_owned())?,
                master: master.try_into().map_err(|_| "no process".to_owned())?,
                generation,
            }),
            _ => Err("not what a master writes".to_owned()),
        }
    }
}

/// What a worker is born with.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) worker: WorkerId,
    pub(crate) slot: usize,
    pub(crate) row: u32,
    pub(crate) master: i32,
    pub(crate) scoreboard: Scoreboard,
    pub(crate) link: OwnedFd,
    /// The lane for user messages.
    pub(crate) mail: OwnedFd,
    /// What it has as stderr until it sits in its slot, if that is another than the master's.
    pub(crate) stderr: Option<OwnedFd>,
    /// Every signal is blocked until the worker has its own handlers.
    pub(crate) blocked: Blocked,
}

type MasterLink = Link<FromZygote, ToZygote>;

/// Serves the master as its zygote.
///
/// **Returns once for every worker, in the worker**, with what was preloaded; in the zygote itself it
/// never returns.
///
/// # Errors
/// If this process was not started by a master: the variable was set by hand, or inherited.
pub(crate) fn serve<T: 'static>(
    handover: &Handover,
    preload: Preload<T>,
) -> Result<(Seed, &'static T), String> {
    let link = process::handed_descriptor(handover.link)
        .filter(|fd| is_seqpacket(fd))
        .ok_or_else(|| format!("descriptor {} is not a link", handover.link))?;
    process::die_with(handover.master, Duration::ZERO).map_err(|error| error.to_string())?;
    // Empty handlers, so that a signal to the whole group leaves the zygote alone.
    for unmoved in
        [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2]
    {
        if signal::disposition(unmoved) != signal::Disposition::Ignored {
            signal::disregard(unmoved);
        }
    }
    signal::disregard(Signal::SIGTERM);
    process::set_title(&process::name(), &format!("zygote {}", handover.generation));
    let link: MasterLink = Link::new(link);
    let begun = begin(&link, handover.master, preload);
    let Ok((scoreboard, preloaded)) = begun else { process::exit_now(1) };
    loop {
        if let Some(seed) = serve_one(&link, handover, scoreboard) {
            return Ok((seed, preloaded));
        }
    }
}

/// Greets the master, gets the scoreboard, becomes who it is to be, and preloads.
fn begin<T: 'static>(
    link: &MasterLink,
    master: i32,
    preload: Preload<T>,
) -> Result<(Scoreboard, &'static T), ()> {
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    link.send_by(&FromZygote::Hello { protocol: PROTOCOL_VERSION }, deadline).map_err(drop)?;
    let Ok(Some((ToZygote::Begin { credentials, nofile }, fds))) = link.receive_by(deadline) else {
        return Err(());
    };
    if let Some(limit) = nofile {
        remember_nofile(limit);
    }
    let mut fds = fds.into_iter();
    let opened = fds
        .next()
        .ok_or_else(|| io::Error::other("no descriptor came with it"))
        .and_then(Scoreboard::open)
        .map_err(|error| format!("the scoreboard: {error}"));
    let prepared = opened.and_then(|scoreboard| {
        one_thread()?;
        assume(credentials.as_ref(), master)?;
        if let Preload::Nothing(_) = preload {
            return Ok((scoreboard, preload.run()?));
        }
        // From now on the master waits for as long as a preload may take.
        let told = link.send_by(&FromZygote::Preloading, deadline);
        told.map_err(|error| format!("the link: {error:?}"))?;
        Ok((scoreboard, leftovers::preload(preload)?))
    });
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    match prepared {
        Ok(begun) => {
            // What the preload had to say belongs to the newcomer's last words, and so came before.
            if let Some(own) = fds.next() {
                stderr::set(&own);
            }
            link.send_by(&FromZygote::Begun, deadline).map_err(drop)?;
            Ok(begun)
        }
        Err(reason) => {
            let _ = link.send_by(&FromZygote::Refused { reason }, deadline);
            Err(())
        }
    }
}

/// Takes on the user and group that workers run as.
fn assume(credentials: Option<&Credentials>, master: i32) -> Result<(), String> {
    let Some(credentials) = credentials else { return Ok(()) };
    credentials.assume().map_err(|error| format!("user and group: {error}"))?;
    // The change has disarmed it (prctl(2), PR_SET_PDEATHSIG).
    process::die_with(master, Duration::ZERO).map_err(|error| error.to_string())
}

/// Whether this process may fork: it has no other thread.
pub(crate) fn one_thread() -> Result<(), String> {
    match process::threads() {
        Ok(threads) if threads.len() == 1 => Ok(()),
        Ok(threads) => Err(format!(
            "threads run before the cluster starts, and would not exist in workers: {}; start them in \
             main, which runs in each worker",
            threads[1..].join(", ")
        )),
        Err(error) => Err(format!("/proc/self/task: {error}")),
    }
}

/// Waits for one order and carries it out; `Some` in the worker that it made.
fn serve_one(link: &MasterLink, handover: &Handover, scoreboard: Scoreboard) -> Option<Seed> {
    use rustix::event::{PollFd, PollFlags};
    // Idle here for as long as the master lives: no answer is awaited, so there is no deadline.
    let _ = poll_until(&mut [PollFd::new(link, PollFlags::IN)], None);
    let (worker, slot, row, fds) = match link.receive() {
        Ok(Some((ToZygote::Spawn { worker, slot, row }, fds))) => (worker, slot, row, fds),
        Ok(Some((ToZygote::Begin { .. }, _)) | None) => return None,
        Err(LinkError::Closed) => process::exit_now(0),
        Err(_) => process::exit_now(1),
    };
    let mut fds = fds.into_iter();
    let (Some(worker_link), Some(mail), stderr) = (fds.next(), fds.next(), fds.next()) else {
        process::exit_now(1)
    };
    let forked = match one_thread() {
        Ok(()) => {
            // What is in the buffer now would otherwise be written by both processes.
            let _ = io::stdout().flush();
            fork_twice()
        }
        Err(_) => Err(Errno::EDEADLK),
    };
    let answer = match forked {
        Ok(Forked::New(blocked)) => {
            return Some(Seed {
                worker,
                slot,
                row,
                master: handover.master,
                scoreboard,
                link: worker_link,
                mail,
                stderr,
                blocked,
            });
        }
        Ok(Forked::Caller(pid)) => FromZygote::Spawned { worker, pid },
        Err(errno) => FromZygote::SpawnFailed { worker, errno: errno as i32 },
    };
    let told = link.send_by(&answer, Instant::now() + HANDSHAKE_TIMEOUT);
    if told.is_err() {
        process::exit_now(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handover_survives_the_trip() {
        let handover = Handover { link: 5, master: 811, generation: 2 };
        let encoded = handover.encode();
        let (name, value) = encoded.split_once('=').expect("NAME=VALUE");
        assert_eq!(name, process::HANDOVER_VARIABLE);
        assert_eq!(Handover::decode(value), Ok(handover));
    }

    #[test]
    fn a_variable_set_by_hand_is_refused() {
        for value in ["", "1", "yes", "1.2.3", "1.2.3.4.5", "1.-2.3.4", "999.5.811.1"] {
            assert!(Handover::decode(value).is_err(), "{value}");
        }
    }
}
