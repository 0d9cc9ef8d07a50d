//! Where the control thread waits, and for what.
//!
//! Reads nothing. Invariant: it never waits beyond the earliest deadline that anything here has.

use std::{os::fd::AsFd, time::Duration};

use rustix::event::{PollFd, PollFlags};

use super::{Control, Manager, ZygoteHandle};
use crate::{id::WorkerId, sys::wake::poll_until};

impl Control {
    /// Sleeps until a message, a frame, room for a frame that waits, or the supervisor's deadline. Returns the
    /// workers whose links have something: with hundreds of them, to try each at every wake would be most of the work.
    pub(super) fn sleep(&self) -> Vec<WorkerId> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
        for link in self.zygotes.values().filter_map(ZygoteHandle::link) {
            fds.push(PollFd::from_borrowed_fd(link.as_fd(), PollFlags::IN));
        }
        let before = fds.len();
        let heard = || self.parts.workers.by_id.iter().filter(|(_, worker)| worker.is_heard());
        for (_, worker) in heard() {
            let room = if worker.outbox.is_waiting() { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::from_borrowed_fd(worker.link.as_fd(), PollFlags::IN | room));
        }
        let deadline = [
            self.parts.supervisor.next_deadline(),
            self.dropped_deadline(),
            self.announce_deadline(),
            self.manager.as_ref().and_then(Manager::next_deadline),
        ];
        if poll_until(&mut fds, deadline.into_iter().flatten().min()).is_err() {
            // ENOMEM is all that is left; a pause, so that it does not become a spin.
            std::thread::sleep(Duration::from_millis(10));
            return heard().map(|(&id, _)| id).collect();
        }
        let of_workers = heard().zip(&fds[before..]);
        of_workers.filter(|(_, fd)| !fd.revents().is_empty()).map(|((&id, _), _)| id).collect()
    }
}
