//! Packets with descriptors over SEQPACKET sockets: one send, one receive, nothing leaked.
//!
//! Never blocks: every call is `MSG_DONTWAIT`, whatever the socket's flags, since those belong to the
//! description that several processes share. A packet that arrives cut is an error that says so;
//! descriptors that were received and are not wanted are closed. See `unix(7)` and `cmsg(3)`.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::Mutex,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
    process::{Resource, getrlimit},
};

use super::{passing::Passing, socket};

/// The most descriptors that travel on one packet.
pub(crate) const FDS_MAX: usize = 4;

/// A packet as it came.
#[derive(Debug)]
pub(crate) struct Packet {
    /// How much of the buffer it filled. 0 with no descriptors is the end of the stream.
    pub(crate) bytes: usize,
    pub(crate) fds: Vec<OwnedFd>,
    /// The packet was longer than the buffer; the rest is gone.
    pub(crate) bytes_cut: bool,
    /// Descriptors were lost: this process is at its limit, or the sender sent more than `FDS_MAX`.
    pub(crate) fds_cut: bool,
}

/// Sends `bytes` with `fds` as one packet.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    debug_assert!(!bytes.is_empty(), "an empty packet looks like the end of the stream");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sends as much of `bytes` as fits on a stream socket, with `fds` on the first byte; returns how much.
pub(crate) fn send_some(
    socket: impl AsFd,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

/// Writes as much of `bytes` as a stream socket takes, with `fd` on the first byte.
pub(crate) fn write(
    socket: impl AsFd,
    bytes: &[u8],
    fd: Option<BorrowedFd<'_>>,
) -> Result<usize, Errno> {
    match fd {
        None => socket::write(socket, bytes),
        Some(fd) => send_some(socket, bytes, &[fd]),
    }
}

/// Reads what a stream socket has, at most `buffer`, and the descriptor that came with one of the bytes;
/// 0 is its end. A read ends with the bytes that were written together with a descriptor, so it never
/// brings those of two writes; of more than one the first is kept.
pub(crate) fn read(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> Result<(usize, Option<Passing>), Errno> {
    let packet = receive(socket, buffer)?;
    let mut fds = packet.fds.into_iter().map(Passing::new);
    let first = fds.next();
    fds.for_each(drop);
    Ok((packet.bytes, first))
}

/// Receives one packet into `buffer`.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Packet, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    loop {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        match recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, flags) {
            Ok(message) => {
                let fds = control
                    .drain()
                    .filter_map(|part| match part {
                        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                        _ => None,
                    })
                    .flatten()
                    .collect();
                return Ok(Packet {
                    bytes: message.bytes.min(buffer.len()),
                    fds,
                    bytes_cut: message.flags.contains(ReturnFlags::TRUNC),
                    fds_cut: message.flags.contains(ReturnFlags::CTRUNC),
                });
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// One descriptor kept in hand, to be given up for the one that a packet brings.
///
/// At the descriptor limit the kernel delivers a packet *without* its descriptor and closes the
/// connection that it was. So nothing is received unless a descriptor number is known to be free:
/// [`Spare::with`] frees this one for the length of the receive. Another thread that opens a file
/// exactly then can still take the number; the loss is reported by `fds_cut`.
///
/// Where thousands of numbers were free a moment ago, that costs two system calls for nothing, so it is
/// left out for [`TRUSTED`].
#[derive(Debug)]
pub(crate) struct Spare {
    /// What the spare is a copy of; any descriptor will do.
    origin: OwnedFd,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// `None` while this process is at its limit.
    spare: Option<OwnedFd>,
    /// Until when there are thousands of free numbers.
    ample_until: Option<Instant>,
}

/// How long it is believed that there are thousands of free numbers.
const TRUSTED: Duration = Duration::from_millis(10);

/// That many free numbers no process uses up in that time.
const AMPLE: u64 = 3072;

impl Spare {
    /// Keeps a copy of `origin` as the spare.
    pub(crate) fn new(origin: impl AsFd) -> io::Result<Self> {
        let origin = origin.as_fd().try_clone_to_owned()?;
        let held = origin.try_clone()?;
        Ok(Self { origin, held: Mutex::new(Held { spare: Some(held), ample_until: None }) })
    }

    /// Runs `receive` while a descriptor number is free; `Err(EMFILE)` or `Err(ENFILE)`, and nothing
    /// done, if there is none.
    pub(crate) fn with<T>(&self, receive: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        // A panic while the lock is held leaves the option as it is, which is always valid.
        let mut held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        if held.ample_until.is_some_and(|until| now < until) {
            return receive();
        }
        if held.spare.is_none() {
            held.spare = Some(self.copy()?);
        }
        held.spare = None;
        let received = receive();
        held.spare = self.copy().ok();
        held.ample_until = held.spare.as_ref().filter(|fd| is_ample(fd)).map(|_| now + TRUSTED);
        received
    }

    fn copy(&self) -> Result<OwnedFd, Errno> {
        rustix::io::fcntl_dupfd_cloexec(&self.origin, 0)
    }
}

/// Whether thousands of numbers are free, by the lowest one that was: the kernel gives out the lowest.
fn is_ample(lowest: &OwnedFd) -> bool {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let lowest = u64::try_from(lowest.as_raw_fd()).unwrap_or(u64::MAX);
    lowest.saturating_add(AMPLE) < limit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::seqpacket_pair;

    #[test]
    fn bytes_and_descriptors_arrive_together() {
        let (a, b) = seqpacket_pair().expect("a pair");
        let (sent, other) = seqpacket_pair().expect("a pair");
        send(&a, b"frame", &[sent.as_fd()]).expect("sent");
        drop(sent);
        let mut buffer = [0; 16];
        let packet = receive(&b, &mut buffer).expect("received");
        assert_eq!(&buffer[..packet.bytes], b"frame");
        assert_eq!(packet.fds.len(), 1);
        send(&packet.fds[0], b"x", &[]).expect("the descriptor works");
        assert_eq!(receive(&other, &mut buffer).expect("received").bytes, 1);
    }

    #[test]
    fn a_packet_longer_than_the_buffer_is_reported() {
        let (a, b) = seqpacket_pair().expect("a pair");
        send(&a, b"too long", &[]).expect("sent");
        let packet = receive(&b, &mut [0; 4]).expect("received");
        assert!(packet.bytes_cut);
        assert_eq!(packet.bytes, 4);
    }

    #[test]
    fn an_empty_socket_would_block_and_a_closed_one_ends() {
        let (a, b) = seqpacket_pair().expect("a pair");
        assert_eq!(receive(&b, &mut [0; 4]).expect_err("empty"), Errno::AGAIN);
        drop(a);
        assert_eq!(receive(&b, &mut [0; 4]).expect("the end").bytes, 0);
    }
}
