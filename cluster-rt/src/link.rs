//! One end of a link: typed frames with descriptors over a SEQPACKET socket, never blocking.
//!
//! Knows nothing of what a frame means. What a peer sends is believed in nothing: a packet that is
//! too long, does not decode or lost its descriptors is an error value. That the other end was closed
//! is no news of a death, since a process forked from the peer can hold it open: death is the reap.

use std::{
    collections::VecDeque,
    io,
    marker::PhantomData,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Instant,
};

use rustix::{event::PollFd, event::PollFlags, io::Errno};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    sys::{fdpass, wake::poll_until},
    wire::{self, FRAME_BYTES_MAX},
};

/// An end that sends frames `Out` and receives frames `In`.
#[derive(Debug)]
pub(crate) struct Link<Out, In> {
    socket: OwnedFd,
    frames: PhantomData<fn(Out) -> In>,
}

/// Why nothing more will be received, or this frame was not.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// The other end was closed.
    Closed,
    /// What came is not a frame. Its `Display` is fit for a log line.
    Garbage(String),
    /// The system call failed.
    Os(io::Error),
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the link was closed"),
            Self::Garbage(what) => write!(f, "garbage on the link: {what}"),
            Self::Os(error) => write!(f, "the link failed: {error}"),
        }
    }
}

/// Why a frame was not sent.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The peer does not read; a later try may work.
    Full,
    /// The peer has closed its end.
    Closed,
    Os(io::Error),
}

impl<Out: Serialize, In: DeserializeOwned> Link<Out, In> {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, frames: PhantomData }
    }

    /// Sends one frame now.
    pub(crate) fn send(&self, frame: &Out, fds: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        let bytes = wire::encode(frame).map_err(|e| SendError::Os(io::Error::other(e)))?;
        self.send_bytes(&bytes, fds)
    }

    fn send_bytes(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        fdpass::send(&self.socket, bytes, fds).map_err(|errno| match errno {
            // ETOOMANYREFS: descriptors on their way are counted per user; they arrive in time.
            Errno::AGAIN | Errno::NOBUFS | Errno::TOOMANYREFS => SendError::Full,
            Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => SendError::Closed,
            other => SendError::Os(other.into()),
        })
    }

    /// Sends one frame, waiting for room until `deadline`.
    pub(crate) fn send_by(&self, frame: &Out, deadline: Instant) -> Result<(), SendError> {
        loop {
            match self.send(frame, &[]) {
                Err(SendError::Full) if Instant::now() < deadline => {
                    let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
                    poll_until(&mut fds, Some(deadline)).map_err(SendError::Os)?;
                }
                result => return result,
            }
        }
    }

    /// The next frame that waits, or `None`.
    pub(crate) fn receive(&self) -> Result<Option<(In, Vec<OwnedFd>)>, LinkError> {
        let mut buffer = [0; FRAME_BYTES_MAX];
        let packet = match fdpass::receive(&self.socket, &mut buffer) {
            Ok(packet) => packet,
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::CONNRESET) => return Err(LinkError::Closed),
            Err(error) => return Err(LinkError::Os(error.into())),
        };
        if packet.bytes == 0 && packet.fds.is_empty() {
            return Err(LinkError::Closed);
        }
        if packet.bytes_cut {
            let what = format!("a frame of more than {FRAME_BYTES_MAX} bytes");
            return Err(LinkError::Garbage(what));
        }
        if packet.fds_cut {
            return Err(LinkError::Garbage("a frame that lost its descriptors".to_owned()));
        }
        let bytes = &buffer[..packet.bytes];
        let frame = wire::decode(bytes)
            .map_err(|error| LinkError::Garbage(format!("{} bytes, {error}", bytes.len())))?;
        Ok(Some((frame, packet.fds)))
    }

    /// The next frame, waiting for it until `deadline`; `None` at the deadline.
    pub(crate) fn receive_by(
        &self,
        deadline: Instant,
    ) -> Result<Option<(In, Vec<OwnedFd>)>, LinkError> {
        loop {
            if let Some(received) = self.receive()? {
                return Ok(Some(received));
            }
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            if !poll_until(&mut fds, Some(deadline)).map_err(LinkError::Os)? {
                return Ok(None);
            }
        }
    }
}

impl<Out, In> AsFd for Link<Out, In> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Frames that wait for a peer that does not read fast enough. Bounded: a peer that leaves this many
/// unread is not going to read.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<(Vec<u8>, Vec<Arc<OwnedFd>>)>,
}

/// A worker's requests wait for their answers, so more unread answers than this are no accident.
const OUTBOX_FRAMES_MAX: usize = 64;

impl Outbox {
    /// Sends `frame` after those that wait, now or at a later [`flush`](Self::flush).
    ///
    /// # Errors
    /// `Full` if too many frames wait already.
    pub(crate) fn send<Out: Serialize, In: DeserializeOwned>(
        &mut self,
        link: &Link<Out, In>,
        frame: &Out,
        fds: Vec<Arc<OwnedFd>>,
    ) -> Result<(), SendError> {
        let bytes = wire::encode(frame).map_err(|e| SendError::Os(io::Error::other(e)))?;
        if self.waiting.len() >= OUTBOX_FRAMES_MAX {
            return Err(SendError::Full);
        }
        self.waiting.push_back((bytes, fds));
        self.flush(link)
    }

    /// Sends what waits, as far as the socket takes it.
    pub(crate) fn flush<Out: Serialize, In: DeserializeOwned>(
        &mut self,
        link: &Link<Out, In>,
    ) -> Result<(), SendError> {
        while let Some((bytes, fds)) = self.waiting.front() {
            let fds: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
            match link.send_bytes(bytes, &fds) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(SendError::Full) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether frames wait for the socket to take more.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        sys::socket::seqpacket_pair,
        wire::{FromWorker, ToWorker},
    };

    type Ends = (Link<ToWorker, FromWorker>, Link<FromWorker, ToWorker>);

    fn ends() -> Ends {
        let (a, b) = seqpacket_pair().expect("a pair");
        (Link::new(a), Link::new(b))
    }

    #[test]
    fn frames_arrive_and_the_end_is_seen() {
        let (master, worker) = ends();
        worker.send(&FromWorker::Online, &[]).expect("sent");
        assert!(matches!(master.receive(), Ok(Some((FromWorker::Online, _)))));
        assert!(matches!(master.receive(), Ok(None)));
        drop(worker);
        assert!(matches!(master.receive(), Err(LinkError::Closed)));
    }

    #[test]
    fn garbage_half_a_frame_and_an_oversized_one_are_named() {
        let (a, b) = seqpacket_pair().expect("a pair");
        let master: Link<ToWorker, FromWorker> = Link::new(a);
        let oversized = vec![0; FRAME_BYTES_MAX + 1];
        for bytes in [&b"\xff\xff\xff\xff"[..], &[0], &oversized] {
            fdpass::send(&b, bytes, &[]).expect("sent");
            assert!(matches!(master.receive(), Err(LinkError::Garbage(_))));
        }
    }

    #[test]
    fn an_outbox_is_bounded_and_keeps_the_order() {
        let (master, worker) = ends();
        let mut outbox = Outbox::default();
        let mut sent = 0_u32;
        while outbox.send(&master, &ToWorker::Shared { request: sent }, Vec::new()).is_ok() {
            sent += 1;
            assert!(sent < 10_000, "a peer that does not read is noticed");
        }
        for expected in 0..sent {
            outbox.flush(&master).expect("an open link");
            let received = worker.receive().expect("an open link");
            let Some((ToWorker::Shared { request }, _)) = received else {
                panic!("frame {expected} is missing")
            };
            assert_eq!(request, expected);
        }
    }
}
