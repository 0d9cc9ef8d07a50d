//! What this process has said and the other side has not yet taken: a queue of frames with a bound.
//!
//! In a worker the other side is its mail lane, in the master the hub. User frames wait for room, first
//! come, first served; the few short frames that end a request never wait, so that whoever drops a
//! request cannot be held up. Invariant: every frame is queued whole, so frames never interleave.

use std::{
    future::Future,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::io::Errno;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    mail::{
        self, DESCRIPTOR_BYTES, Enclosure, WAITING_BYTES_MAX,
        pieces::{PIECE_BYTES, Pieces},
    },
    sys::{fdpass, passing::Passing, wake::Wake},
};

/// Frames that follow each other faster than this are left to the thread that writes many at once.
const BURST_INTERVAL: Duration = Duration::from_micros(20);

/// In a stream of frames the thread looks again after so long, and need not be woken for each that comes first: many
/// frames at a time cost less, for it and for who receives them.
const LINGER: Duration = Duration::from_micros(50);

/// Unless so many bytes wait.
const LINGER_BYTES: usize = PIECE_BYTES / 2;

/// What the thread took after a pause as long as this is no stream.
const STREAM_PAUSE: Duration = Duration::from_micros(500);

#[derive(Debug)]
pub(crate) struct Post {
    queue: Mutex<Queue>,
    /// Bytes for which there is room.
    room: Semaphore,
    /// Of the thread that takes what is queued.
    wake: Wake,
    way: Way,
}

/// Sends a frame and its descriptor on at once; whether it did, otherwise both are as they were.
pub(crate) type Express = Box<dyn Fn(&[u8], &mut Option<Passing>) -> bool + Send + Sync>;

/// Where a caller itself may send what it has, while nothing waits.
pub(crate) enum Way {
    /// To the lane, where the thread writes too.
    Lane(Arc<OwnedFd>),
    /// In the thread's place, which otherwise takes what is queued.
    Express(Express),
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Lane(_) => "Lane",
            Self::Express(_) => "Express",
        })
    }
}

#[derive(Debug, Default)]
struct Queue {
    pieces: Pieces,
    /// How much of `room` the queue holds; never more than its bytes.
    charged: usize,
    /// When a caller wrote last.
    written: Option<Instant>,
    /// When the thread found something last.
    found: Option<Instant>,
    /// When the thread looks again by itself.
    looks_at: Option<Instant>,
}

impl Queue {
    /// Whether frames follow each other so fast that one is better left to the thread.
    fn is_burst(&mut self, now: Instant) -> bool {
        let last = self.written.replace(now);
        last.is_some_and(|at| now.duration_since(at) < BURST_INTERVAL)
    }

    /// The thread has taken what it takes at once, if it found anything.
    fn looked(&mut self, found: bool, now: Instant) {
        self.looks_at = None;
        if found {
            let last = self.found.replace(now);
            let in_stream = last.is_some_and(|at| now.duration_since(at) < STREAM_PAUSE);
            self.looks_at = in_stream.then(|| now + LINGER);
        }
    }

    /// Whether the thread has something to do at once.
    fn calls(&self) -> bool {
        let least = if self.looks_at.is_some() { LINGER_BYTES } else { 1 };
        self.pieces.weight() >= least && self.pieces.held_until().is_none()
    }

    /// Writes one piece.
    fn write(&mut self, lane: &OwnedFd) -> Written {
        let (front, fd) = self.pieces.front();
        if front.is_empty() {
            return Written::default();
        }
        let (count, room) = match fdpass::write(lane, front, fd) {
            Ok(count) => (count, self.taken(count).1),
            Err(Errno::AGAIN | Errno::NOBUFS) => return Written::default(),
            Err(Errno::TOOMANYREFS) => {
                self.pieces.refused(Instant::now());
                let again = self.pieces.held_until().is_none();
                return Written { again, ..Written::default() };
            }
            // The other side is gone, and this process will be: nobody waits for what is lost.
            Err(_) => {
                self.pieces.clear();
                (0, self.taken(0).1)
            }
        };
        Written { any: count > 0, again: !self.pieces.is_empty(), room }
    }

    /// So many bytes are out; returns their descriptor, and for how many there is room now.
    fn taken(&mut self, count: usize) -> (Option<Passing>, usize) {
        let fd = self.pieces.advance(count);
        let charged = self.charged.min(self.pieces.weight());
        (fd, std::mem::replace(&mut self.charged, charged) - charged)
    }
}

/// What came of writing one piece.
#[derive(Debug, Default)]
struct Written {
    any: bool,
    /// Another may follow.
    again: bool,
    /// Bytes for which there is room now. To be told without the lock: whoever waits for them is woken.
    room: usize,
}

/// Room for one frame.
pub(super) type Room<'a> = SemaphorePermit<'a>;

impl Post {
    pub(crate) fn new(wake: Wake, way: Way) -> Self {
        let room = Semaphore::new(WAITING_BYTES_MAX);
        Self { queue: Mutex::default(), room, wake, way }
    }

    /// Room for a letter, now; `None` if there is none or others wait for it.
    pub(super) fn try_room(&self, letter: &Sealed) -> Option<Room<'_>> {
        self.room.try_acquire_many(letter.charge()).ok()
    }

    /// Room for a letter, when those who asked before have theirs.
    pub(super) fn room(
        &self,
        letter: &Sealed,
    ) -> impl Future<Output = Option<Room<'_>>> + Send + use<'_> {
        let charge = letter.charge();
        async move { self.room.acquire_many(charge).await.ok() }
    }

    /// Queues a user's letter.
    pub(super) fn push(&self, letter: Sealed, room: Room<'_>) {
        let charged = room.num_permits();
        room.forget();
        self.append(letter, charged);
    }

    /// Queues a short frame at once, room or not: of those there are no more than requests.
    pub(super) fn push_now(&self, frame: Vec<u8>) {
        self.append(frame.into(), 0);
    }

    fn append(&self, mut letter: Sealed, charged: usize) {
        let mut queue = self.lock();
        let (was_empty, called) = (queue.pieces.is_empty(), queue.calls());
        let by_itself = was_empty && !queue.is_burst(Instant::now());
        if let (true, Way::Express(express)) = (by_itself, &self.way) {
            if express(&letter.frame, &mut letter.fd) {
                drop(queue);
                return self.room.add_permits(charged);
            }
        }
        match letter.fd {
            Some(fd) => queue.pieces.push_enclosing(letter.frame, fd),
            None => queue.pieces.push_owned(letter.frame),
        }
        queue.charged += charged;
        if called {
            return;
        }
        let written = match (by_itself, &self.way) {
            (true, Way::Lane(lane)) => queue.write(lane),
            _ => Written::default(),
        };
        let waits = queue.calls();
        // The threads that this wakes want the lock first of all, and a task may send as it is woken.
        drop(queue);
        self.room.add_permits(written.room);
        if waits {
            self.wake.ring();
        }
    }

    /// Writes what the lane takes now; whether it was anything.
    pub(crate) fn flush(&self) -> bool {
        let Way::Lane(lane) = &self.way else { return false };
        let mut any = false;
        loop {
            // Callers get the lock between two pieces.
            let written = self.lock().write(lane);
            self.room.add_permits(written.room);
            any |= written.any;
            if !written.again {
                return any;
            }
        }
    }

    /// As the thread does it, which looks again when `looks_at` says so.
    pub(crate) fn flush_and_linger(&self) {
        let found = self.flush();
        self.lock().looked(found, Instant::now());
    }

    /// Takes queued bytes, at most `buffer`, with the descriptor that goes with the first. For the thread alone,
    /// which takes again when `looks_at` says so.
    pub(crate) fn take(&self, buffer: &mut [u8]) -> (usize, Option<Passing>) {
        let mut queue = self.lock();
        let (front, _) = queue.pieces.front();
        let count = front.len().min(buffer.len());
        buffer[..count].copy_from_slice(&front[..count]);
        let (fd, room) = queue.taken(count);
        queue.looked(count > 0, Instant::now());
        drop(queue);
        self.room.add_permits(room);
        (count, fd)
    }

    /// Whether the thread is to take what waits, or write it as soon as that is possible.
    pub(crate) fn calls(&self) -> bool {
        self.lock().calls()
    }

    /// When the thread has something to do whether it is woken or not: until then nothing can be written,
    /// whatever the lane has room for, or it is worth waiting for more.
    pub(crate) fn looks_at(&self) -> Option<Instant> {
        let queue = self.lock();
        queue.pieces.held_until().into_iter().chain(queue.looks_at).min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().pieces.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An encoded message, and what goes with it.
#[derive(Debug)]
pub(super) struct Sealed {
    frame: Vec<u8>,
    fd: Option<Passing>,
}

impl From<Vec<u8>> for Sealed {
    fn from(frame: Vec<u8>) -> Self {
        Self { frame, fd: None }
    }
}

impl Sealed {
    pub(super) fn with(mut frame: Vec<u8>, fd: OwnedFd) -> Self {
        mail::set_enclosure(&mut frame, Enclosure::Descriptor);
        Self { frame, fd: Some(Passing::new(fd)) }
    }

    /// What it takes of the room. One that is longer than the bound goes when nothing else waits.
    fn charge(&self) -> u32 {
        let weight = self.frame.len() + self.fd.as_ref().map_or(0, |_| DESCRIPTOR_BYTES);
        u32::try_from(weight.min(WAITING_BYTES_MAX)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post() -> Post {
        Post::new(Wake::new().expect("eventfd"), Way::Express(Box::new(|_, _| false)))
    }

    fn letter(bytes: usize) -> Sealed {
        vec![0; bytes].into()
    }

    fn push(post: &Post, letter: Sealed) {
        let room = post.try_room(&letter).expect("room");
        post.push(letter, room);
    }

    fn empty(post: &Post) {
        while post.take(&mut [0; 65_536]).0 > 0 {}
    }

    #[test]
    fn in_a_stream_the_thread_looks_again_by_itself_and_is_woken_for_much_only() {
        let wake = Wake::new().expect("eventfd");
        let post = Post::new(wake.clone(), Way::Express(Box::new(|_, _| false)));
        let rung = || {
            let rung = crate::sys::wake::readable(&wake, Instant::now()).expect("a poll");
            wake.hush();
            rung
        };
        push(&post, letter(64));
        assert!(rung() && post.calls() && post.looks_at().is_none());
        // Taken at once a second time: a stream.
        let looks_at = loop {
            empty(&post);
            push(&post, letter(64));
            post.take(&mut [0; 64]);
            if let Some(at) = post.looks_at() {
                break at;
            }
        };
        rung();
        assert!(looks_at <= Instant::now() + LINGER);
        push(&post, letter(64));
        assert!(!rung() && !post.calls(), "there is time");
        push(&post, letter(LINGER_BYTES));
        assert!(rung() && post.calls(), "that is much");
        push(&post, letter(64));
        assert!(!rung(), "once");
        empty(&post);
        // Nothing was there when it looked: the next one wakes it.
        assert!(post.looks_at().is_none());
        push(&post, letter(64));
        assert!(rung());
    }

    #[test]
    fn room_comes_back_when_bytes_are_taken() {
        let post = post();
        for _ in 0..3 {
            push(&post, letter(WAITING_BYTES_MAX));
            post.push_now(b"short".to_vec());
            assert!(post.try_room(&letter(1)).is_none());
            empty(&post);
            assert!(post.is_empty());
        }
    }

    #[test]
    fn a_frame_beyond_the_bound_goes_alone() {
        let post = post();
        push(&post, letter(3 * WAITING_BYTES_MAX));
        assert!(post.try_room(&letter(1)).is_none());
        empty(&post);
        assert!(post.try_room(&letter(WAITING_BYTES_MAX)).is_some());
    }

    #[test]
    fn there_is_room_for_few_descriptors_and_it_comes_back() {
        let post = post();
        let enclosing = || {
            let (fd, _) = crate::sys::socket::stream_pair().expect("a pair");
            Sealed::with(vec![0; 64], fd)
        };
        for _ in 0..3 {
            let mut count = 0;
            while let Some(room) = post.try_room(&enclosing()) {
                post.push(enclosing(), room);
                count += 1;
            }
            assert_eq!(count, 63, "64 with nothing else beside them");
            let mut buffer = [0; 65_536];
            for _ in 0..count {
                assert!(matches!(post.take(&mut buffer), (64, Some(_))));
            }
            assert!(post.try_room(&letter(WAITING_BYTES_MAX)).is_some());
        }
    }
}
