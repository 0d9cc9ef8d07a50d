//! What comes from one sender: the master's end of a worker's mail lane, and the frames in its bytes.
//!
//! Reads only while no frame of the sender's has to wait, and of a worker that was reaped no more than
//! it can have left.

use std::{os::fd::OwnedFd, sync::Arc, time::Instant};

use rustix::io::Errno;

use super::{
    exchange::{Exchange, Parked},
    line::Line,
};
use crate::{
    id::WorkerId,
    mail::{MESSAGE_BYTES_MAX, Place, WAITING_BYTES_MAX, incoming::Incoming},
    sys::fdpass,
};

/// Frames on their way from one sender.
#[derive(Debug, Default)]
pub(super) struct Sender {
    pub(super) incoming: Incoming,
    pub(super) parked: Option<Parked>,
}

impl Sender {
    /// Whether nothing of it is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.parked.is_none() && self.incoming.is_empty()
    }

    /// Routes what a sender's bytes amount to, until a frame has to wait.
    pub(super) fn route(
        &mut self,
        exchange: &mut Exchange,
        from: Place,
        now: Instant,
    ) -> Result<(), String> {
        if let Some(parked) = self.parked.take() {
            self.parked = exchange.retry(parked, now);
        }
        while self.parked.is_none() {
            let Some((run, fd)) = self.incoming.run()? else { return Ok(()) };
            let length = run.bytes.len();
            self.parked = exchange.route(from, &run, fd, now)?;
            self.incoming.consume(length);
        }
        Ok(())
    }
}

/// The master's end of a worker's lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) socket: Arc<OwnedFd>,
    pub(super) sender: Sender,
    /// Nothing more is read from it.
    pub(super) deaf: bool,
    /// It was reaped; how much is still read. A process that it forked may hold its lane and write on.
    reaped: Option<usize>,
}

/// More than a worker can have left behind: what a socket holds, and what it had begun.
const LEFT_BYTES_MAX: usize = MESSAGE_BYTES_MAX + WAITING_BYTES_MAX;

impl Lane {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket: Arc::new(socket), sender: Sender::default(), deaf: false, reaped: None }
    }

    pub(super) fn is_read(&self) -> bool {
        !self.deaf && self.sender.parked.is_none()
    }

    pub(super) fn set_reaped(&mut self) {
        self.reaped = Some(LEFT_BYTES_MAX);
    }

    pub(super) fn is_reaped(&self) -> bool {
        self.reaped.is_some()
    }

    /// Writes what waits in the worker's line, as far as it takes that now; whether it took something.
    pub(super) fn write(&self, worker: WorkerId, line: &mut Line, now: Instant) -> bool {
        let mut progress = false;
        while !line.outbox.is_empty() {
            let (front, fd) = line.outbox.front();
            match fdpass::write(&self.socket, front, fd) {
                Ok(count) => line.written(worker, count, now),
                Err(Errno::AGAIN | Errno::NOBUFS) => break,
                Err(Errno::TOOMANYREFS) => {
                    line.outbox.refused(now);
                    if line.outbox.held_until().is_some() {
                        break;
                    }
                }
                // It has closed its end: the reap will tell.
                Err(_) => line.close(),
            }
            progress = true;
        }
        progress
    }

    /// Reads once; whether anything came.
    pub(super) fn read(&mut self) -> bool {
        let socket = &self.socket;
        match self.sender.incoming.fill(|buffer| fdpass::read(socket, buffer)) {
            Ok(count @ 1..) => {
                if let Some(left) = &mut self.reaped {
                    *left = left.saturating_sub(count);
                    self.deaf |= *left == 0;
                }
                true
            }
            Err(Errno::AGAIN) => false,
            // Its end: the reap will tell.
            Ok(0) | Err(_) => {
                self.deaf = true;
                false
            }
        }
    }
}
