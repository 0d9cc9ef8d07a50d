//! The channel between a forked child and its parent: frames on a stream socket, both ways at once.
//!
//! Two tasks move the bytes, so that neither side waits for the other to read while it writes. What waits
//! is bounded by bytes in either direction: senders wait, and the socket is not read. What a frame is, `frames`
//! knows. Nothing that comes can panic or grow this process.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    marker::PhantomData,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustix::event::{PollFd, PollFlags};
use tokio::{
    io::Interest,
    net::UnixStream,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use super::frames::{Cut, encode, next_frame};
use crate::{
    error::{Cause, Error},
    mail::{DESCRIPTOR_BYTES, WAITING_BYTES_MAX},
    message::{ClusterMessage, fingerprint},
    sys::{fdpass, wake::poll_until},
};

/// What a frame that waits is taken to cost beside its payload, so that the bound is one on their number too.
const FRAME_BYTES: usize = 128;
/// Read and written in one go.
const PIECE_BYTES: usize = 64 * 1024;

const ENDED: &str = "the other side has ended, or has closed the channel";

/// A frame on its way out.
struct Packet {
    bytes: Vec<u8>,
    fd: Option<OwnedFd>,
    /// Room given back when it is out.
    _room: OwnedSemaphorePermit,
}

/// The way out, shared by all who send.
#[derive(Clone, Debug)]
struct Outbox {
    packets: mpsc::UnboundedSender<Packet>,
    /// Closed when nobody is there to read.
    room: Arc<Semaphore>,
}

/// Sends messages of one type to the other side; clones send on the same channel.
#[derive(Debug)]
pub struct Sender<M> {
    outbox: Outbox,
    message: PhantomData<fn(M)>,
}

impl<M> Clone for Sender<M> {
    fn clone(&self) -> Self {
        Self { outbox: self.outbox.clone(), message: PhantomData }
    }
}

/// Receives messages of one type from the other side.
#[derive(Debug)]
pub struct Receiver<M> {
    frames: mpsc::UnboundedReceiver<Received>,
    message: PhantomData<fn() -> M>,
}

type Received = Result<Frame, String>;

#[derive(Debug)]
struct Frame {
    fingerprint: u64,
    payload: Vec<u8>,
    fd: Option<OwnedFd>,
    /// The frame was to bring a descriptor, and it did not come.
    fd_lost: bool,
    /// Room given back when it is taken.
    _room: OwnedSemaphorePermit,
}

/// Opens this side of a channel; inside a runtime.
pub(super) fn open<Out, In>(socket: OwnedFd) -> io::Result<(Sender<Out>, Receiver<In>)> {
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    let socket = Arc::new(UnixStream::from_std(socket)?);
    let room = || Arc::new(Semaphore::new(WAITING_BYTES_MAX));
    let (packets, outgoing) = mpsc::unbounded_channel();
    let (incoming, frames) = mpsc::unbounded_channel();
    let out_room = room();
    let outbox_room = Arc::clone(&out_room);
    tokio::spawn(write_all(Arc::clone(&socket), outgoing));
    tokio::spawn(async move {
        read_all(&socket, &incoming, room()).await;
        // It may have said only that it sends nothing more. First, so that whoever was told of the end
        // cannot send any more.
        if is_hung_up(&socket) {
            outbox_room.close();
        }
        drop(incoming);
    });
    let outbox = Outbox { packets, room: out_room };
    Ok((Sender { outbox, message: PhantomData }, Receiver { frames, message: PhantomData }))
}

/// What a frame takes of the room, with its descriptor if it has one; one that is longer than all of it goes when
/// nothing else waits.
fn charge(bytes: usize, fd: Option<&OwnedFd>) -> u32 {
    let weight = bytes + fd.map_or(0, |_| DESCRIPTOR_BYTES);
    u32::try_from(weight.min(WAITING_BYTES_MAX)).unwrap_or(u32::MAX)
}

impl<M: ClusterMessage> Sender<M> {
    /// Sends a message.
    ///
    /// It is encoded at the call; the future waits while 8 MiB wait to be written. Messages arrive in
    /// the order in which they were sent; what was sent before an orderly end arrives.
    ///
    /// # Errors
    /// The message is longer than 64 MiB or its serde code fails; the other side has ended or has closed
    /// the channel ([`Error::is_unreachable`]).
    ///
    /// # Cancel safety
    /// Dropping the future before it resolved may or may not have sent the message; never a part of it.
    pub fn send(&self, message: &M) -> Sending {
        self.dispatch(message, None)
    }

    /// Sends a message and moves a descriptor along: a connection, a listener, a file. It is closed here
    /// when it is on its way.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn send_with_fd(&self, message: &M, fd: impl Into<OwnedFd>) -> Sending {
        self.dispatch(message, Some(fd.into()))
    }

    fn dispatch(&self, message: &M, fd: Option<OwnedFd>) -> Sending {
        let frame = encode(message, fd.is_some());
        let outbox = self.outbox.clone();
        Sending(Box::pin(async move {
            let bytes = frame?;
            let gone = || Error::new("send", M::NAME, Cause::Unreachable(ENDED));
            let room =
                Arc::clone(&outbox.room).acquire_many_owned(charge(bytes.len(), fd.as_ref()));
            let room = tokio::select! {
                biased;
                () = outbox.packets.closed() => return Err(gone()),
                room = room => room.map_err(|_| gone())?,
            };
            outbox.packets.send(Packet { bytes, fd, _room: room }).map_err(|_| gone())
        }))
    }

    /// Resolves when everything that was sent is written, or cannot be any more.
    pub(super) fn flush(&self) -> Flush {
        let outbox = self.outbox.clone();
        Box::pin(async move {
            let all = Arc::clone(&outbox.room).acquire_many_owned(charge(WAITING_BYTES_MAX, None));
            tokio::select! {
                _ = all => {}
                () = outbox.packets.closed() => {}
            }
        })
    }
}

/// The end of all that was sent.
pub(super) type Flush = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The future of a message on its way to the other side.
#[must_use = "a message is sent when its future is awaited"]
pub struct Sending(Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>);

impl Sending {
    pub(super) fn failed(error: Error) -> Self {
        Self(Box::pin(std::future::ready(Err(error))))
    }
}

impl Future for Sending {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for Sending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sending")
    }
}

impl<M: ClusterMessage> Receiver<M> {
    /// The next message; `None` when the other side has ended or closed the channel and everything that it
    /// had sent was received.
    ///
    /// A descriptor that came along is closed; see [`recv_with_fd`](Self::recv_with_fd).
    ///
    /// # Errors
    /// What came is of another type ([`Error::is_foreign`]), cannot be decoded, or is no message: the other
    /// side ended in the middle of one. The messages after it, if any, still come.
    ///
    /// # Cancel safety
    /// Cancel-safe: a message that was not returned is returned by the next call.
    pub async fn recv(&mut self) -> Option<Result<M, Error>> {
        Some(self.recv_with_fd().await?.map(|(message, _)| message))
    }

    /// The next message, with the descriptor that came along, if one did.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv); and a descriptor that was sent was lost, because this process is at its
    /// limit of open files.
    ///
    /// # Cancel safety
    /// As for [`recv`](Self::recv).
    pub async fn recv_with_fd(&mut self) -> Option<Result<(M, Option<OwnedFd>), Error>> {
        let failed = |cause| Error::new("recv", M::NAME, cause);
        let frame = match self.frames.recv().await? {
            Ok(frame) => frame,
            Err(what) => return Some(Err(failed(Cause::Serde(what)))),
        };
        if frame.fingerprint != fingerprint::<M>() {
            return Some(Err(failed(Cause::Serde(
                "the other side has sent a message of another type or layout".to_owned(),
            ))));
        }
        if frame.fd_lost {
            let text = "its descriptor was lost: this process is at its limit (raise `ulimit -n`)";
            return Some(Err(failed(Cause::Serde(text.to_owned()))));
        }
        let message = crate::message::decode(&frame.payload);
        Some(message.map(|message| (message, frame.fd)).map_err(|what| failed(Cause::Serde(what))))
    }
}

/// Writes what is sent, until nobody can send any more; then the other side sees the end.
async fn write_all(socket: Arc<UnixStream>, mut packets: mpsc::UnboundedReceiver<Packet>) {
    while let Some(packet) = packets.recv().await {
        if write(&socket, &packet).await.is_err() {
            // Nobody reads any more: those who wait are told by the end of this queue.
            break;
        }
    }
    let _ = rustix::net::shutdown(&*socket, rustix::net::Shutdown::Write);
}

async fn write(socket: &UnixStream, packet: &Packet) -> io::Result<()> {
    let mut rest = packet.bytes.as_slice();
    let mut fd = packet.fd.as_ref();
    while !rest.is_empty() {
        let piece = &rest[..rest.len().min(PIECE_BYTES)];
        let fds: Vec<_> = fd.iter().map(|fd| fd.as_fd()).collect();
        let written = socket
            .async_io(Interest::WRITABLE, || Ok(fdpass::send_some(socket, piece, &fds)?))
            .await?;
        // It rides on the first byte.
        fd = None;
        rest = &rest[written..];
    }
    Ok(())
}

/// Whether the other side is gone, and has not only said that it sends nothing more.
fn is_hung_up(socket: &UnixStream) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::empty())];
    // HUP is told unasked: both directions are closed (poll(2)).
    let polled = poll_until(&mut fds, Some(std::time::Instant::now()));
    polled.is_ok() && fds[0].revents().contains(PollFlags::HUP)
}

/// Reads until the end, or to what is no frame.
async fn read_all(
    socket: &UnixStream,
    frames: &mpsc::UnboundedSender<Received>,
    room: Arc<Semaphore>,
) {
    let mut bytes: Vec<u8> = Vec::new();
    let mut fds = VecDeque::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut start = 0;
    loop {
        match next_frame(&bytes[start..], &mut fds) {
            Ok(Some(Cut { fingerprint, payload, fd, fd_lost, length })) => {
                start += length;
                let taken = charge(payload.len() + FRAME_BYTES, fd.as_ref());
                let Ok(room) = Arc::clone(&room).acquire_many_owned(taken).await else { return };
                let frame = Frame { fingerprint, payload, fd, fd_lost, _room: room };
                if frames.send(Ok(frame)).is_err() {
                    return;
                }
                continue;
            }
            Ok(None) => {}
            Err(what) => {
                let _ = frames.send(Err(what));
                return;
            }
        }
        bytes.drain(..start);
        start = 0;
        // What a large frame needed is not held for small ones.
        if bytes.len() < PIECE_BYTES {
            bytes.shrink_to(4 * PIECE_BYTES);
        }
        let received =
            socket.async_io(Interest::READABLE, || Ok(fdpass::receive(socket, &mut piece)?));
        match received.await {
            Ok(packet) if packet.bytes > 0 => {
                bytes.extend_from_slice(&piece[..packet.bytes]);
                fds.extend(packet.fds);
            }
            // The end, or a reset, which is one.
            Ok(_) | Err(_) => {
                if !bytes.is_empty() {
                    let what = "the other side ended in the middle of a message".to_owned();
                    let _ = frames.send(Err(what));
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sys::socket::stream_pair;

    #[test]
    fn descriptors_that_nobody_receives_are_few_at_either_side() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let (a, b) = stream_pair().expect("a pair");
            let (sender, _) = open::<String, String>(a).expect("a channel");
            let (_sender, mut receiver) = open::<String, String>(b).expect("a channel");
            let text = "a file".to_owned();
            let send = async || {
                let file = std::fs::File::open("/dev/null").expect("a file");
                let sent = sender.send_with_fd(&text, file);
                tokio::time::timeout(Duration::from_millis(500), sent).await.is_ok()
            };
            let mut sent = 0;
            while send().await {
                sent += 1;
                assert!(sent < 1000, "a sender waits");
            }
            // And goes on when they are received.
            for _ in 0..sent {
                let received = receiver.recv_with_fd().await.expect("open").expect("a message");
                assert!(received.1.is_some());
            }
            assert!(send().await);
        });
    }
}
