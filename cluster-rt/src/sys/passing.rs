//! A descriptor that passes through this process: whatever it is, letting go of it does not wait.
//!
//! Closing can wait for as long as the socket's owner likes: the last close of a socket with SO_LINGER
//! waits until its data are acknowledged, O_NONBLOCK or not (`socket(7)`). So a socket that lingers is
//! closed by a thread of its own, of which there are at most [`CLOSERS_MAX`]; beyond that it lingers no
//! more.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::net::sockopt::{set_socket_linger, socket_linger};

use super::signal::block_on_this_thread;

/// Threads that wait for a socket to linger.
const CLOSERS_MAX: usize = 16;

static CLOSERS: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
pub(crate) struct Passing(Option<OwnedFd>);

impl Passing {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self(Some(fd))
    }

    /// The descriptor, from now on the caller's to close.
    pub(crate) fn into_owned(mut self) -> Option<OwnedFd> {
        self.0.take()
    }

    pub(crate) fn borrow(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let Some(fd) = self.0.take() else { return };
        let lingers = socket_linger(&fd).ok().flatten().is_some_and(|time| time > Duration::ZERO);
        if lingers {
            close_elsewhere(fd);
        }
    }
}

fn close_elsewhere(fd: OwnedFd) {
    if CLOSERS.fetch_add(1, Ordering::Relaxed) >= CLOSERS_MAX {
        CLOSERS.fetch_sub(1, Ordering::Relaxed);
        return let_go(&fd);
    }
    // Left where both can reach it, in case there is no thread to be had.
    let left = Arc::new(Mutex::new(Some(fd)));
    let taken = Arc::clone(&left);
    let take =
        |left: &Mutex<Option<OwnedFd>>| left.lock().unwrap_or_else(PoisonError::into_inner).take();
    let started = thread::Builder::new().name("cluster-close".to_owned()).spawn(move || {
        block_on_this_thread();
        // The lock is not held while this waits.
        let fd = take(&taken);
        drop(fd);
        CLOSERS.fetch_sub(1, Ordering::Relaxed);
    });
    if started.is_err() {
        CLOSERS.fetch_sub(1, Ordering::Relaxed);
        if let Some(fd) = take(&left) {
            let_go(&fd);
        }
    }
}

/// The next close does not wait: what the socket has is sent all the same.
fn let_go(fd: &OwnedFd) {
    let _ = set_socket_linger(fd, None);
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;

    /// A socket that has more to send than anybody reads, and waits for that when it is closed; and
    /// its other end.
    fn lingering() -> (OwnedFd, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let other = TcpStream::connect(listener.local_addr().expect("an address"));
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.set_nonblocking(true).expect("a socket");
        while stream.write(&[0; 65_536]).is_ok() {}
        set_socket_linger(&stream, Some(Duration::from_secs(60))).expect("a socket");
        (stream.into(), other.expect("a connection"))
    }

    #[test]
    fn a_socket_that_lingers_holds_nobody_up_however_many_there_are() {
        let mut others = Vec::new();
        for _ in 0..CLOSERS_MAX + 3 {
            let (fd, other) = lingering();
            others.push(other);
            let since = Instant::now();
            drop(Passing::new(fd));
            assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
        }
    }
}
