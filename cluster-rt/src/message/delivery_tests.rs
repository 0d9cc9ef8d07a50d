//! Tests of what comes to a process: mailboxes, what is kept, bounds, foreign layouts.

use std::time::Instant;

use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

use super::{
    Address, Mailbox,
    office::{Hindrance, Office, encode},
    post::{Post, Way},
    sending::Sending,
    shape::fingerprint,
};
use crate::{
    id::WorkerId,
    mail::{Head, Kind, Place, incoming::Incoming, patience::PATIENCE, run::Run},
    sys::{scoreboard::Row, wake::Wake},
};

#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
#[message(name = "shop::News")]
pub(super) struct News(pub(super) Vec<u8>);

/// As another build of the program has it.
#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
#[message(name = "shop::News")]
struct OtherNews(Vec<u8>, u32);

#[derive(Debug, Serialize, Deserialize, ClusterMessage)]
#[message(reply = u32)]
pub(super) struct Question;

pub(super) fn office() -> &'static Office {
    let wake = Wake::new().expect("eventfd");
    let post = Post::new(wake.clone(), Way::Express(Box::new(|_, _| false)));
    let row = Box::leak(Box::new(Row::new()));
    let me = (Place::Master, 1);
    Box::leak(Box::new(Office::new(me, Box::new(|_| Ok(())), post, wake, row)))
}

/// A message from worker 7, of generation 2.
pub(super) fn come<M: ClusterMessage>(
    office: &'static Office,
    kind: Kind,
    message: &M,
    now: Instant,
) -> Result<(), Instant> {
    let (from, to) = (Place::Worker(WorkerId(7)), Place::Master);
    let head = Head { kind, from, to, request: 5, fingerprint: fingerprint::<M>(), generation: 2 };
    let bytes = encode("send", String::new, &head, M::NAME, message).expect("small enough");
    let run = Run::at_front(&bytes).expect("a frame").expect("all of it");
    office.receive(&run, &mut None, now)
}

/// What is in the mailbox: how many came, and how many were missed where.
pub(super) fn empty<M: ClusterMessage>(mailbox: &mut Mailbox<M>) -> (u64, Vec<(u64, u64)>) {
    let (mut came, mut missed) = (0, Vec::new());
    while let Some(mail) = mailbox.try_recv() {
        match mail {
            Ok(_) => came += 1,
            Err(error) => missed.push((came, error.is_lagged().expect("no other error"))),
        }
    }
    (came, missed)
}

#[test]
fn a_foreign_layout_is_an_error_that_names_the_type_and_both_generations() {
    let (office, now) = (office(), Instant::now());
    let mut mailbox = Mailbox::<News>::open(Some(office));
    come(office, Kind::Message, &OtherNews(vec![], 1), now).expect("room");
    come(office, Kind::Message, &News(vec![3]), now).expect("room");
    let error = mailbox.try_recv().expect("it came").expect_err("foreign");
    assert!(error.is_foreign());
    let text = error.to_string();
    for part in ["`shop::News` from worker 7", "generation 2", "generation 1"] {
        assert!(text.contains(part), "{text}");
    }
    let mail = mailbox.try_recv().expect("it came").expect("ours");
    assert_eq!((mail.from, mail.body.0), (Address::Worker(WorkerId(7)), vec![3]));
    assert!(mailbox.try_recv().is_none());
}

#[test]
fn what_was_kept_is_for_the_first_mailbox_and_what_comes_for_each() {
    let (office, now) = (office(), Instant::now());
    come(office, Kind::Message, &News(vec![1]), now).expect("kept");
    let mut first = Mailbox::<News>::open(Some(office));
    let mut second = Mailbox::<News>::open(Some(office));
    come(office, Kind::Message, &News(vec![2]), now).expect("room");
    assert_eq!(empty(&mut first), (2, vec![]));
    assert_eq!(empty(&mut second), (1, vec![]));
    drop((first, second));
    come(office, Kind::Message, &News(vec![3]), now).expect("kept again");
    assert_eq!(empty(&mut Mailbox::<News>::open(Some(office))), (1, vec![]));
}

/// Messages from worker 7 one after the other, as one read brings them.
pub(super) fn try_together<M: ClusterMessage>(
    office: &'static Office,
    messages: &[M],
    now: Instant,
) -> Result<(), Hindrance> {
    let (kind, from, to) = (Kind::Message, Place::Worker(WorkerId(7)), Place::Everyone);
    let head = Head { kind, from, to, request: 0, fingerprint: fingerprint::<M>(), generation: 2 };
    let encode = |message| encode("send", String::new, &head, M::NAME, message);
    let bytes: Vec<u8> =
        messages.iter().flat_map(|message| encode(message).expect("small enough")).collect();
    let mut incoming = Incoming::default();
    let filled = incoming.fill(|room| {
        room[..bytes.len()].copy_from_slice(&bytes);
        Ok::<_, ()>((bytes.len(), None))
    });
    assert_eq!(filled, Ok(bytes.len()));
    office.receive_all(&mut incoming, now)?;
    assert!(incoming.is_empty());
    Ok(())
}

pub(super) fn come_together<M: ClusterMessage>(office: &'static Office, messages: &[M]) {
    try_together(office, messages, Instant::now()).expect("room");
}

#[test]
fn messages_that_come_together_are_received_one_by_one_in_every_mailbox() {
    let office = office();
    come_together(office, &[News(vec![1]), News(vec![2])]);
    let mut first = Mailbox::<News>::open(Some(office));
    come_together(office, &[News(vec![3]), News(vec![4]), News(vec![5])]);
    let mut second = Mailbox::<News>::open(Some(office));
    come_together(office, &[News(vec![6])]);
    come_together(office, &[OtherNews(vec![], 1), OtherNews(vec![], 2)]);
    come_together(office, &[News(vec![7]), News(vec![8])]);
    let came = |mailbox: &mut Mailbox<News>| -> Vec<Option<u8>> {
        let mail = std::iter::from_fn(|| mailbox.try_recv());
        mail.map(|mail| mail.ok().map(|mail| mail.body.0[0])).collect()
    };
    let later = [Some(6), None, None, Some(7), Some(8)];
    assert_eq!(came(&mut first), [&[1, 2, 3, 4, 5].map(Some)[..], &later].concat());
    assert_eq!(came(&mut second), later);
}

#[test]
fn a_full_mailbox_misses_all_that_come_together() {
    let office = office();
    let mut mailbox = Mailbox::<News>::open(Some(office));
    let (now, big) = (Instant::now(), News(vec![0; 9_000_000]));
    come(office, Kind::Message, &big, now).expect("room");
    assert!(come(office, Kind::Message, &big, now - PATIENCE).is_err(), "since a second");
    come_together(office, &[News(vec![1]), News(vec![2]), News(vec![3])]);
    assert_eq!(empty(&mut mailbox), (1, vec![(1, 3)]));
}

#[test]
fn beyond_the_bound_the_oldest_that_was_kept_is_dropped_and_counted() {
    let (office, now) = (office(), Instant::now());
    for _ in 0..100 {
        come(office, Kind::Message, &News(vec![0; 100_000]), now).expect("kept");
    }
    let (came, missed) = empty(&mut Mailbox::<News>::open(Some(office)));
    assert_eq!(came, 83);
    assert_eq!(missed, [(0, 17)]);
}

#[test]
fn a_full_mailbox_is_waited_for_then_lags_and_says_how_many() {
    let (office, now) = (office(), Instant::now());
    let mut mailbox = Mailbox::<News>::open(Some(office));
    let big = News(vec![0; 100_000]);
    let until = loop {
        if let Err(until) = come(office, Kind::Message, &big, now) {
            break until;
        }
    };
    assert_eq!(until, now + PATIENCE);
    // Others are not held up by it.
    come(office, Kind::Message, &Question, now).expect("kept");
    assert_eq!(come(office, Kind::Message, &big, now + PATIENCE / 2), Err(until));
    for _ in 0..3 {
        come(office, Kind::Message, &big, until).expect("dropped and counted");
    }
    assert_eq!(empty(&mut mailbox), (84, vec![(84, 3)]));
    come(office, Kind::Message, &big, until).expect("room again");
    assert_eq!(empty(&mut mailbox), (1, vec![]));
}

/// A runtime as a worker has.
pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

#[test]
fn who_receives_or_sends_on_and_on_lets_others_run() {
    const MANY: usize = 1000;
    let (office, now) = (office(), Instant::now());
    let mut mailbox = Mailbox::<News>::open(Some(office));
    for _ in 0..MANY {
        come(office, Kind::Message, &News(vec![]), now).expect("room");
    }
    runtime().block_on(async {
        let turns = || tokio::spawn(async { tokio::task::yield_now().await });
        let other = turns();
        for _ in 0..MANY {
            mailbox.recv().await.expect("it came").expect("ours");
        }
        assert!(other.is_finished(), "while it received");
        let other = turns();
        for _ in 0..MANY {
            Sending::start(office, vec![0; 64]).await.expect("room");
        }
        assert!(other.is_finished(), "while it sent");
    });
}

#[test]
fn a_wait_without_await_needs_no_turn_of_the_scheduler() {
    let office = office();
    runtime().block_on(async {
        while tokio::task::coop::has_budget_remaining() {
            tokio::task::coop::consume_budget().await;
        }
        // Both with room and without.
        while let Some(room) = office.post().try_room(&vec![0; 1 << 20].into()) {
            office.post().push(vec![0; 1 << 20].into(), room);
        }
        let taker = std::thread::spawn(|| while office.post().take(&mut [0; 1 << 16]).0 > 0 {});
        Sending::start(office, vec![0; 1 << 20]).wait().expect("room in the end");
        Sending::start(office, vec![]).wait().expect("room");
        taker.join().expect("it took");
    });
}
