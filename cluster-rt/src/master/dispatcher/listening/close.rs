//! The end of a listener: no new connections begin, those there are get to a worker, the socket closes.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Lane, Listening, News, Peeked};
use crate::{
    endpoint::Schedule,
    sys::{fdpass::Spare, socket},
};

/// How long a stop waits for handshakes on their way: the client is connected when it has our SYN+ACK,
/// and we have it a round trip later.
const HANDSHAKE_LINGER: Duration = Duration::from_millis(100);

impl Listening {
    /// From now on no new connection begins; `dispatch` empties the backlog and closes the socket.
    pub(in crate::master::dispatcher) fn begin_close(&mut self, now: Instant) {
        self.closing = Some(now + HANDSHAKE_LINGER);
        for door in &self.doors {
            // What connects to a Unix socket is connected at once: there is no handshake to let pass.
            let filtered = match socket::is_unix(&door.socket) {
                true => Ok(()),
                false => socket::drop_requests(&door.socket),
            };
            tell_of_filter(filtered, &mut self.news);
        }
    }

    /// Takes everything that the kernel has accepted; when no handshake can be on its way any more,
    /// closes the socket.
    pub(super) fn empty_backlog(&mut self, now: Instant) {
        let last = self.closing.is_some_and(|linger| linger <= now);
        if self.is_for_sharers() {
            // What waits is taken by those who accept from the socket by means of their own.
            if last {
                for door in &self.doors {
                    tell_of_filter(end_requests(&door.socket), &mut self.news);
                }
                self.doors.retain(|door| socket::is_readable(&door.socket));
            }
            return;
        }
        let doors: Vec<Arc<OwnedFd>> =
            self.doors.iter().map(|door| Arc::clone(&door.socket)).collect();
        for door in doors {
            if last {
                tell_of_filter(end_requests(&door), &mut self.news);
            }
            // The filters make this end.
            while let Some(connection) = self.accept(&door, now) {
                if self.held.is_empty() {
                    self.hand_over(connection, now);
                } else {
                    self.held.push_back(connection);
                }
            }
        }
        // Without a descriptor for the next one the backlog is not empty yet.
        if last && self.last_trouble.is_none() {
            self.doors.clear();
        }
    }

    /// Whether nobody is there to whom the master could hand over, while others accept by themselves.
    fn is_for_sharers(&self) -> bool {
        let admitted = self.lanes.iter().flatten().any(Lane::is_admitted);
        (self.shared || self.rules.schedule == Schedule::Shared) && !admitted
    }

    /// Whether connections wait and no berth has a worker that accepts.
    pub(in crate::master::dispatcher) fn needs_somebody(&self) -> bool {
        let waiting = !self.held.is_empty() || self.lanes.iter().flatten().any(|l| l.waiting() > 0);
        waiting && !self.lanes.iter().flatten().any(Lane::is_admitted)
    }

    /// Closes what waits where no worker accepts; how many those were.
    pub(in crate::master::dispatcher) fn forsake(&mut self, spare: &Spare) -> usize {
        if !self.needs_somebody() {
            return 0;
        }
        let mut closed = std::mem::take(&mut self.held).len();
        for lane in self.lanes.iter().flatten() {
            while let Ok(Some(connection)) = lane.queue().take_back(spare) {
                drop(connection);
                closed += 1;
            }
        }
        closed
    }

    /// Closes what no queue has had room for; how many those were.
    pub(in crate::master::dispatcher) fn let_go_of_held(&mut self) -> usize {
        std::mem::take(&mut self.held).len()
    }

    /// Whether, after the close, workers have taken everything; when no longer `patient`, whether
    /// everything is at least in the queue of a worker that lives.
    pub(in crate::master::dispatcher) fn is_finished(
        &mut self,
        now: Instant,
        patient: bool,
    ) -> bool {
        if !patient && self.is_for_sharers() {
            self.doors.clear();
        }
        let peeked = self.peeked.as_ref().is_none_or(Peeked::is_empty);
        let mut served = self.doors.is_empty() && self.held.is_empty() && peeked;
        for lane in self.lanes.iter_mut().flatten() {
            lane.refresh(now);
            served &= lane.waiting() == 0 || (lane.is_admitted() && !patient);
        }
        served
    }
}

/// Nothing joins the backlog any more.
fn end_requests(door: impl AsFd) -> std::io::Result<()> {
    if socket::is_unix(&door) {
        // Not connected, so that this only keeps others from connecting (unix(7)): who tries is refused,
        // and what waits can still be accepted.
        return socket::shut_for_requests(&door);
    }
    socket::drop_all(&door)
}

fn tell_of_filter(filtered: std::io::Result<()>, news: &mut Vec<News>) {
    if let Err(error) = filtered {
        let text = format!("stop: socket filter: {error}; late connections may be reset");
        news.push(News::Trouble(text));
    }
}
