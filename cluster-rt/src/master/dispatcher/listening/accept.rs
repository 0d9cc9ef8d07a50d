//! Taking connections from a listening socket, and what the kernel's refusals mean.
//!
//! An error of one connection costs that connection; one of this process or machine costs a pause, in
//! which connections wait in the kernel. None ends the listener.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::{EXHAUSTED_PAUSE, Listening, News};
use crate::{handoff::Connection, sys::socket};

/// How often it is told that connections are closed because everybody is at the limit.
const EXCESS_TOLD: Duration = Duration::from_secs(1);

impl Listening {
    pub(super) fn accept(&mut self, door: impl AsFd, now: Instant) -> Option<Connection> {
        if self.shared || self.rules.schedule.is_direct() {
            // The flag is shared too, and a worker may have made the socket blocking for itself.
            let _ = socket::set_nonblocking(&door);
        }
        loop {
            match socket::accept(&door) {
                Ok((socket, peer)) => {
                    (self.last_trouble, self.came) = (None, true);
                    return Some(Connection { socket, peer });
                }
                Err(Errno::AGAIN) => {
                    self.last_trouble = None;
                    return None;
                }
                // A Unix socket that was shut for requests says so when it is empty.
                Err(Errno::INVAL) if self.closing.is_some() => {
                    self.last_trouble = None;
                    return None;
                }
                Err(error) if is_of_one_connection(error) => {}
                Err(error) => {
                    self.paused_until = Some(now + EXHAUSTED_PAUSE);
                    if matches!(error, Errno::MFILE | Errno::NFILE) {
                        self.hurry_peeked(now);
                    }
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
            let text = format!("accept: {error}{remedy}; connections wait in the kernel");
            self.news.push(News::Trouble(text));
        }
    }

    /// Closes a connection for which no worker has room.
    pub(super) fn refuse(&mut self, connection: Connection, now: Instant) {
        drop(connection);
        let (count, told) = &mut self.excess;
        *count += 1;
        if told.is_none_or(|at| now.duration_since(at) >= EXCESS_TOLD) {
            *told = Some(now);
            let text = format!(
                "every worker has as many connections as it may: closed {count} since the start"
            );
            self.news.push(News::Trouble(text));
        }
    }
}

/// Whether it is an error of a connection that is already gone (accept(2)): the next may be fine.
fn is_of_one_connection(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNABORTED
            | Errno::PROTO
            | Errno::PERM
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH
    )
}
