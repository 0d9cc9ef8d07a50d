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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    mail::{
        WAITING_BYTES_MAX,
        pieces::{Parcel, Pieces},
    },
    sys::{socket, wake::Wake},
};

/// Frames that follow each other faster than this are left to the thread that writes many at once.
const BURST_INTERVAL: Duration = Duration::from_micros(20);

#[derive(Debug)]
pub(crate) struct Post {
    queue: Mutex<Queue>,
    /// Bytes for which there is room.
    room: Arc<Semaphore>,
    /// Of the thread that takes what is queued.
    wake: Wake,
    /// Written by callers too while nothing waits. `None` if the thread takes the bytes itself.
    lane: Option<Arc<OwnedFd>>,
}

#[derive(Debug, Default)]
struct Queue {
    pieces: Pieces,
    /// How much of `room` the queue holds; never more than its bytes.
    charged: usize,
    /// When a caller wrote last.
    written: Option<Instant>,
}

/// Room for one frame.
pub(super) type Room = OwnedSemaphorePermit;

impl Post {
    pub(crate) fn new(wake: Wake, lane: Option<Arc<OwnedFd>>) -> Self {
        let room = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
        Self { queue: Mutex::default(), room, wake, lane }
    }

    /// Room for a frame of `bytes`, now; `None` if there is none or others wait for it.
    pub(super) fn try_room(&self, bytes: usize) -> Option<Room> {
        Arc::clone(&self.room).try_acquire_many_owned(charge(bytes)).ok()
    }

    /// Room for a frame of `bytes`, when those who asked before have theirs.
    pub(super) fn room(&self, bytes: usize) -> impl Future<Output = Option<Room>> + Send + use<> {
        let room = Arc::clone(&self.room);
        async move { room.acquire_many_owned(charge(bytes)).await.ok() }
    }

    /// Queues a user's frame.
    pub(super) fn push(&self, frame: Vec<u8>, room: Room) {
        let charged = room.num_permits();
        room.forget();
        self.append(&Parcel::of_vec(frame), charged);
    }

    /// Queues a short frame at once, room or not: of those there are no more than requests.
    pub(super) fn push_now(&self, frame: &[u8]) {
        self.append(&Parcel::Small(frame), 0);
    }

    fn append(&self, parcel: &Parcel<'_>, charged: usize) {
        let mut queue = self.lock();
        let was_empty = queue.pieces.is_empty();
        queue.pieces.push(parcel);
        queue.charged += charged;
        if !was_empty {
            return;
        }
        if let Some(lane) = &self.lane {
            let now = Instant::now();
            let burst = queue.written.is_some_and(|at| now.duration_since(at) < BURST_INTERVAL);
            queue.written = Some(now);
            if !burst {
                self.write(&mut queue, lane);
            }
        }
        if !queue.pieces.is_empty() {
            self.wake.ring();
        }
    }

    /// Writes what the lane takes now.
    pub(crate) fn flush(&self) {
        let Some(lane) = &self.lane else { return };
        // Callers get the lock between two pieces.
        while self.write(&mut self.lock(), lane) {}
    }

    /// Writes one piece; whether another may follow.
    fn write(&self, queue: &mut Queue, lane: &OwnedFd) -> bool {
        let front = queue.pieces.front();
        if front.is_empty() {
            return false;
        }
        match socket::write(lane, front) {
            Ok(count) => self.taken(queue, count),
            Err(Errno::AGAIN | Errno::NOBUFS) => return false,
            // The other side is gone, and this process will be: nobody waits for what is lost.
            Err(_) => {
                queue.pieces.clear();
                self.taken(queue, 0);
            }
        }
        !queue.pieces.is_empty()
    }

    /// Takes queued bytes, at most `buffer`.
    pub(crate) fn take(&self, buffer: &mut [u8]) -> usize {
        let mut queue = self.lock();
        let front = queue.pieces.front();
        let count = front.len().min(buffer.len());
        buffer[..count].copy_from_slice(&front[..count]);
        if count > 0 {
            self.taken(&mut queue, count);
        }
        count
    }

    fn taken(&self, queue: &mut Queue, count: usize) {
        if count > 0 {
            queue.pieces.advance(count);
        }
        let charged = queue.charged.min(queue.pieces.len());
        self.room.add_permits(queue.charged - charged);
        queue.charged = charged;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().pieces.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a frame takes of the room. One that is longer than the bound goes when nothing else waits.
fn charge(bytes: usize) -> u32 {
    u32::try_from(bytes.min(WAITING_BYTES_MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post() -> Post {
        Post::new(Wake::new().expect("eventfd"), None)
    }

    fn empty(post: &Post) {
        while post.take(&mut [0; 65_536]) > 0 {}
    }

    #[test]
    fn room_comes_back_when_bytes_are_taken() {
        let post = post();
        for _ in 0..3 {
            let room = post.try_room(WAITING_BYTES_MAX).expect("all of it");
            post.push(vec![0; WAITING_BYTES_MAX], room);
            post.push_now(b"short");
            assert!(post.try_room(1).is_none());
            empty(&post);
            assert!(post.is_empty());
        }
    }

    #[test]
    fn a_frame_beyond_the_bound_goes_alone() {
        let post = post();
        let room = post.try_room(3 * WAITING_BYTES_MAX).expect("nothing else waits");
        post.push(vec![0; 3 * WAITING_BYTES_MAX], room);
        assert!(post.try_room(1).is_none());
        empty(&post);
        assert!(post.try_room(WAITING_BYTES_MAX).is_some());
    }
}
