//! Telling a service manager of this process: that it is ready, reloads, stops, lives, by the protocol of `sd_notify(3)`.
//!
//! Decides nothing of that. Never waits: what the manager's socket has no room for is kept, within a bound, and sent at
//! the next flush. Of the crates there are, those looked at read the environment at each call, where programs that this
//! one starts would find the variables too, block, and know no abstract addresses.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with},
    time::{ClockId, clock_gettime},
};

/// Messages that wait for room. The oldest goes first: the last says how things are.
const WAITING_MAX: usize = 16;

/// How soon what found no room is sent again, and what found nobody.
const RETRY: Duration = Duration::from_millis(100);
const RETRY_NOBODY: Duration = Duration::from_secs(5);

/// A longer status is cut; the manager shows it in one line.
const STATUS_BYTES_MAX: usize = 500;

/// What the variables of the protocol said at the start.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// `NOTIFY_SOCKET`: a path, or `@` and an abstract name.
    pub(crate) socket: Option<OsString>,
    /// `WATCHDOG_USEC`, if it is meant for this process: so often at least a sign of life is to come.
    pub(crate) watchdog: Option<Duration>,
}

impl Asked {
    /// By the values of `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub(crate) fn of(socket: Option<OsString>, usec: &str, pid: &str) -> Self {
        let is_ours = pid.is_empty() || pid.parse() == Ok(std::process::id());
        let usec = usec.parse().ok().filter(|&usec| usec > 0 && is_ours);
        Self {
            socket: socket.filter(|socket| !socket.is_empty()),
            watchdog: usec.map(Duration::from_micros),
        }
    }
}

/// How far the process is, as the manager has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    Reloading,
    Stopping,
}

/// The way to the manager.
#[derive(Debug)]
pub(crate) struct Notify {
    socket: OwnedFd,
    /// As it was given.
    name: String,
    to: SocketAddrUnix,
    phase: Phase,
    status: String,
    waiting: VecDeque<String>,
    retry: Option<Instant>,
    /// Said once.
    failed: bool,
    watchdog: Option<Watchdog>,
}

#[derive(Debug)]
struct Watchdog {
    every: Duration,
    next: Instant,
}

impl Notify {
    /// `None` if nobody wants to be told.
    ///
    /// # Errors
    /// If the address is none, or there is no socket for it.
    pub(crate) fn new(asked: Asked, now: Instant) -> io::Result<Option<Self>> {
        let Some(address) = asked.socket else { return Ok(None) };
        let name = address.to_string_lossy().into_owned();
        let to = match address.as_bytes() {
            [b'@', rest @ ..] => SocketAddrUnix::new_abstract_name(rest)?,
            [b'/', ..] => SocketAddrUnix::new(&*address)?,
            _ => {
                let text = format!("{name}: neither a path nor @NAME");
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        // Twice in the time, as sd_watchdog_enabled(3) has it.
        let watchdog = asked.watchdog.map(|within| Watchdog { every: within / 2, next: now });
        Ok(Some(Self {
            socket,
            name,
            to,
            phase: Phase::Starting,
            status: String::new(),
            waiting: VecDeque::new(),
            retry: None,
            failed: false,
            watchdog,
        }))
    }

    /// It serves.
    pub(crate) fn ready(&mut self) {
        self.enter(Phase::Ready, "READY=1".to_owned());
    }

    /// A reload is over, well or not: it serves in either case, and the status tells which.
    pub(crate) fn reloaded(&mut self) {
        if self.phase == Phase::Reloading {
            self.ready();
        }
    }

    /// A reload has begun. What is to be ready yet does not reload.
    pub(crate) fn reloading(&mut self) {
        if self.phase == Phase::Starting || self.phase == Phase::Stopping {
            return;
        }
        self.phase = Phase::Reloading;
        // By which the manager tells that it is the reload that it asked for, and not one before.
        let usec = monotonic_usec();
        self.say(format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
    }

    pub(crate) fn stopping(&mut self) {
        self.enter(Phase::Stopping, "STOPPING=1".to_owned());
    }

    fn enter(&mut self, phase: Phase, text: String) {
        if self.phase != phase && self.phase != Phase::Stopping {
            self.phase = phase;
            self.say(text);
        }
    }

    /// What an administrator reads; the same again is not told.
    pub(crate) fn status(&mut self, text: &str) {
        let status = one_line(text);
        if status != self.status {
            self.say(format!("STATUS={status}"));
            self.status = status;
        }
    }

    /// When a sign of life is due; it is asked for by [`is_due`](Self::is_due).
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let watchdog = self.watchdog.as_ref().map(|watchdog| watchdog.next);
        [self.retry, watchdog].into_iter().flatten().min()
    }

    /// Whether a sign of life is to be got now. The next one is due half a period later.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.watchdog.as_mut().filter(|watchdog| watchdog.next <= now);
        due.map(|watchdog| watchdog.next = now + watchdog.every).is_some()
    }

    pub(crate) fn alive(&mut self) {
        // One that waits says as much as two.
        if !self.waiting.iter().any(|text| text == ALIVE) {
            self.say(ALIVE.to_owned());
        }
    }

    fn say(&mut self, text: String) {
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(text);
    }

    /// Sends what waits, as far as there is room.
    ///
    /// # Errors
    /// The first that is not want of room; after it only successes are reported.
    pub(crate) fn flush(&mut self, now: Instant) -> io::Result<()> {
        if self.retry.is_some_and(|at| at > now) {
            return Ok(());
        }
        self.retry = None;
        while let Some(text) = self.waiting.front() {
            match sendto(&self.socket, text.as_bytes(), SendFlags::NOSIGNAL, &self.to) {
                Ok(_) => drop(self.waiting.pop_front()),
                Err(Errno::INTR) => {}
                Err(error) => {
                    let full = error == Errno::AGAIN;
                    self.retry = Some(now + if full { RETRY } else { RETRY_NOBODY });
                    if full || std::mem::replace(&mut self.failed, true) {
                        return Ok(());
                    }
                    let error = io::Error::from(error);
                    let text = format!("{}: {error}", self.name);
                    return Err(io::Error::new(error.kind(), text));
                }
            }
        }
        Ok(())
    }
}

const ALIVE: &str = "WATCHDOG=1";

/// A newline would begin another assignment.
fn one_line(text: &str) -> String {
    let mut line = text.split('\n').map(str::trim).collect::<Vec<_>>().join("; ");
    let end = (0..=STATUS_BYTES_MAX.min(line.len())).rev().find(|&at| line.is_char_boundary(at));
    line.truncate(end.unwrap_or(0));
    line
}

fn monotonic_usec() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000)
}

#[cfg(test)]
mod tests {
    use std::os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    };

    use super::*;

    fn manager(watchdog: Option<Duration>) -> (UnixDatagram, Notify) {
        let name = format!("cluster-notify-{:?}", std::thread::current().id());
        let name = format!("{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a short name");
        let socket = UnixDatagram::bind_addr(&address).expect("nobody else has it");
        socket.set_nonblocking(true).expect("a socket");
        let asked = Asked { socket: Some(format!("@{name}").into()), watchdog };
        let notify = Notify::new(asked, Instant::now()).expect("an address").expect("a socket");
        (socket, notify)
    }

    fn told(socket: &UnixDatagram) -> Vec<String> {
        let mut bytes = [0; 1024];
        let next = || socket.recv(&mut bytes).ok().map(|n| bytes[..n].to_vec());
        std::iter::from_fn(next).map(|b| String::from_utf8(b).expect("text")).collect()
    }

    #[test]
    fn each_change_is_told_once_and_nothing_after_the_stop() {
        let (socket, mut notify) = manager(None);
        notify.reloading();
        notify.reloaded();
        notify.status("0 of 2\n  ready");
        notify.ready();
        notify.ready();
        notify.status("0 of 2; ready");
        notify.stopping();
        notify.ready();
        notify.reloading();
        notify.flush(Instant::now()).expect("somebody reads");
        assert_eq!(told(&socket), ["STATUS=0 of 2; ready", "READY=1", "STOPPING=1"]);
    }

    #[test]
    fn a_reload_says_when_it_began() {
        let (socket, mut notify) = manager(None);
        notify.ready();
        let before = monotonic_usec();
        notify.reloading();
        notify.reloaded();
        notify.flush(Instant::now()).expect("somebody reads");
        let told = told(&socket);
        let usec = told[1].strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("a time");
        assert!(usec.parse::<i64>().expect("a number") >= before);
        assert_eq!(told[2], "READY=1");
    }

    #[test]
    fn who_does_not_read_holds_nobody_up_and_is_told_the_last() {
        let (socket, mut notify) = manager(None);
        let mut now = Instant::now();
        for number in 0..5000 {
            notify.status(&format!("{number} of 5000 {}", "x".repeat(400)));
            notify.flush(now).expect("want of room is no error");
            assert!(notify.waiting.len() <= WAITING_MAX);
        }
        notify.ready();
        assert!(notify.next_deadline().is_some(), "it is tried again");
        let mut last = String::new();
        while notify.next_deadline().is_some() {
            last = told(&socket).pop().unwrap_or(last);
            now += RETRY;
            notify.flush(now).expect("want of room is no error");
        }
        assert_eq!(told(&socket).pop().unwrap_or(last), "READY=1");
    }

    #[test]
    fn signs_of_life_are_due_twice_in_the_time() {
        let (socket, mut notify) = manager(Some(Duration::from_secs(10)));
        let start = Instant::now() + Duration::from_millis(1);
        assert!(notify.is_due(start));
        assert!(!notify.is_due(start + Duration::from_millis(4999)));
        assert!(notify.is_due(start + Duration::from_secs(5)));
        notify.alive();
        notify.alive();
        notify.flush(start).expect("somebody reads");
        assert_eq!(told(&socket), ["WATCHDOG=1"]);
    }

    #[test]
    fn a_watchdog_for_another_process_is_none() {
        let of = |usec, pid| Asked::of(None, usec, pid).watchdog;
        let mine = std::process::id().to_string();
        assert_eq!(of("5000000", ""), Some(Duration::from_secs(5)));
        assert_eq!(of("5000000", &mine), Some(Duration::from_secs(5)));
        assert_eq!(of("5000000", "1"), None);
        assert_eq!(of("0", ""), None);
        assert_eq!(of("soon", ""), None);
    }

    #[test]
    fn an_address_of_another_kind_is_an_error() {
        let asked = |socket: &str| Asked::of(Some(socket.into()), "", "");
        let now = Instant::now();
        assert!(Notify::new(asked("vsock:2:1234"), now).is_err());
        assert!(Notify::new(asked(""), now).expect("nothing asked").is_none());
        // A socket that is not there is told once, and is no reason to stop.
        let mut notify = Notify::new(asked("/nowhere/at/all"), now).expect("a path").expect("one");
        notify.ready();
        assert!(notify.flush(now).is_err());
        assert_eq!(notify.next_deadline(), Some(now + RETRY_NOBODY));
        assert!(notify.flush(now + RETRY_NOBODY).is_ok());
    }
}
