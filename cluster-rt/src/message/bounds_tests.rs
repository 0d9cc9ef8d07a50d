//! Tests of a mailbox's bound: what is waited for, what is missed; and of code that comes back while something
//! is put in.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use cluster::ClusterMessage;
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    Mailbox,
    delivery_tests::{News, come, come_together, empty, office, try_together},
    office::{Hindrance, Office},
};
use crate::mail::{Kind, WAITING_BYTES_MAX, patience::PATIENCE};

#[derive(Clone, Debug, Serialize, Deserialize, ClusterMessage)]
struct Tick;

/// Some, such as one read brings.
const MANY: usize = 500;

/// Fills a mailbox with messages that come together; how many there are.
fn fill(office: &'static Office, now: Instant) -> usize {
    let ticks = vec![Tick; MANY];
    let mut count = 0;
    loop {
        match try_together(office, &ticks, now) {
            Ok(()) => count += MANY,
            Err(Hindrance::Full(until)) => {
                assert_eq!(until, now + PATIENCE);
                return count;
            }
            Err(Hindrance::Garbage(what)) => panic!("{what}"),
        }
    }
}

#[test]
fn messages_that_come_together_count_as_much_as_others() {
    let (office, now) = (office(), Instant::now());
    let mut mailbox = Mailbox::<Tick>::open(Some(office));
    let count = fill(office, now);
    let bound = WAITING_BYTES_MAX / 128;
    assert!((bound..bound + MANY).contains(&count), "{count}, and {bound} is the bound");
    assert_eq!(empty(&mut mailbox), (count as u64, vec![]));
    assert_eq!(fill(office, now), count, "as much room as before");
}

#[test]
fn who_reads_anything_all_the_time_does_not_lag_and_who_stops_does() {
    let office = office();
    let mut now = Instant::now();
    let mut mailbox = Mailbox::<Tick>::open(Some(office));
    let mut count = fill(office, now);
    // From here on from a batch that has left the tray.
    mailbox.try_recv().expect("it is full").expect("ours");
    count += fill(office, now) - 1;
    let shown = || office.reads_shown();
    let before = shown();
    for _ in 0..10 {
        mailbox.try_recv().expect("it is full").expect("ours");
        now += PATIENCE * 9 / 10;
        let full = try_together(office, &[Tick, Tick], now);
        assert!(matches!(full, Err(Hindrance::Full(_))), "{full:?}");
    }
    assert_eq!(shown() - before, 10, "the hub can see it");
    let full = try_together(office, &[Tick, Tick], now + PATIENCE / 2);
    assert!(matches!(full, Err(Hindrance::Full(_))), "{full:?}");
    try_together(office, &[Tick, Tick], now + PATIENCE).expect("dropped and counted");
    assert_eq!(empty(&mut mailbox), (count as u64 - 10, vec![(count as u64 - 10, 2)]));
}

#[test]
fn of_two_mailboxes_the_one_that_lags_says_how_many_it_missed() {
    let (office, now) = (office(), Instant::now());
    let mut slow = Mailbox::<Tick>::open(Some(office));
    let count = fill(office, now) as u64;
    let mut fast = Mailbox::<Tick>::open(Some(office));
    try_together(office, &vec![Tick; 7], now + PATIENCE).expect("the slow one lags");
    come(office, Kind::Message, &Tick, now + PATIENCE).expect("still");
    assert_eq!(empty(&mut fast), (8, vec![]));
    assert_eq!(empty(&mut slow), (count, vec![(count, 8)]));
}

/// A message whose decoding panics if it is so.
#[derive(Debug, Serialize, ClusterMessage)]
struct Trap(bool);

impl<'de> Deserialize<'de> for Trap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shut = bool::deserialize(deserializer)?;
        assert!(!shut, "the user's decoding panics");
        Ok(Self(shut))
    }
}

#[test]
fn a_panic_of_the_last_message_of_many_is_not_the_end() {
    let office = office();
    let mut mailbox = Mailbox::<Trap>::open(Some(office));
    come_together(office, &[Trap(false), Trap(true)]);
    assert!(mailbox.try_recv().expect("it came").is_ok());
    catch_unwind(AssertUnwindSafe(|| mailbox.try_recv())).expect_err("a panic");
    {
        let next = pin!(mailbox.recv());
        assert!(next.poll(&mut Context::from_waker(Waker::noop())).is_pending(), "it goes on");
    }
    come_together(office, &[Trap(false)]);
    assert!(mailbox.try_recv().expect("it came").is_ok());
}

/// A task that does something with its process's mailboxes when it is woken, and when it is forgotten.
struct Busy {
    office: &'static Office,
    woken: AtomicBool,
}

impl Busy {
    fn look(&self) {
        drop(Mailbox::<News>::open(Some(self.office)));
        let _ = self.office.post().try_room(&vec![].into());
        self.office.post().push_now(vec![0; 64]);
    }
}

impl Wake for Busy {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        self.look();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.look();
    }
}

/// Runs `scene` on a thread of its own, which may come to stand.
fn in_time(scene: impl FnOnce() + Send + 'static) {
    let (done, ends) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        scene();
        let _ = done.send(());
    });
    let ended = ends.recv_timeout(Duration::from_secs(20));
    assert!(ended != Err(mpsc::RecvTimeoutError::Timeout), "it waits for itself");
    thread.join().expect("no panic");
}

fn busy(office: &'static Office) -> Arc<Busy> {
    Arc::new(Busy { office, woken: AtomicBool::new(false) })
}

#[test]
fn who_is_woken_by_a_message_may_do_what_it_likes() {
    in_time(|| {
        let office = office();
        let mut mailbox = Mailbox::<Tick>::open(Some(office));
        let (first, second) = (busy(office), busy(office));
        for task in [&first, &second] {
            let waker = Waker::from(Arc::clone(task));
            let next = pin!(mailbox.recv());
            assert!(matches!(next.poll(&mut Context::from_waker(&waker)), Poll::Pending));
        }
        assert_eq!(Arc::strong_count(&first), 1, "forgotten");
        drop(first);
        come_together(office, &[Tick, Tick]);
        assert!(second.woken.load(Ordering::Relaxed));
        assert_eq!(empty(&mut mailbox), (2, vec![]));
        // And with its mailbox.
        let waker = Waker::from(second);
        assert!(pin!(mailbox.recv()).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        drop(mailbox);
    });
}

#[test]
fn who_is_woken_by_room_in_the_outbox_may_do_what_it_likes() {
    in_time(|| {
        let office = office();
        let large = || vec![0; WAITING_BYTES_MAX];
        let room = office.post().try_room(&large().into()).expect("room");
        office.post().push(large().into(), room);
        let task = busy(office);
        let waker = Waker::from(Arc::clone(&task));
        let mut sending = pin!(super::Sending::start(office, vec![0; 64]));
        assert!(sending.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        while office.post().take(&mut [0; 65_536]).0 > 0 {}
        assert!(task.woken.load(Ordering::Relaxed));
        assert!(sending.poll(&mut Context::from_waker(&waker)).is_ready());
    });
}

#[test]
fn a_large_message_is_for_every_mailbox_and_waits_for_those_that_are_full() {
    let (office, now) = (office(), Instant::now());
    let (mut first, mut second) =
        (Mailbox::<News>::open(Some(office)), Mailbox::<News>::open(Some(office)));
    let large = News(vec![7; 9_000_000]);
    come(office, Kind::Message, &large, now).expect("room");
    assert_eq!(come(office, Kind::Message, &large, now), Err(now + PATIENCE));
    let body = first.try_recv().expect("it came").expect("ours").body;
    assert_eq!(body.0, large.0);
    assert!(come(office, Kind::Message, &large, now).is_err(), "the other is full");
    assert_eq!(empty(&mut second), (1, vec![]));
    come(office, Kind::Message, &large, now).expect("room");
    assert_eq!((empty(&mut first), empty(&mut second)), ((1, vec![]), (1, vec![])));
}
