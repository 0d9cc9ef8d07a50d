//! Tests of what comes to a process: mailboxes, what is kept, bounds, foreign layouts, dropped requests.

use std::time::{Duration, Instant};

use cluster::ClusterMessage;
use serde::{Deserialize, Serialize};

use super::{
    Address, Mailbox,
    asked::Answer,
    office::{Hindrance, Office, encode},
    post::{Post, Way},
    sending::Sending,
    shape::fingerprint,
};
use crate::{
    id::WorkerId,
    mail::{Head, Kind, Place, decode, incoming::Incoming, patience::PATIENCE, run::Run},
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
struct Question;

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

/// What request 5 is told next, if anything is on its way.
fn told(office: &Office) -> Option<(Kind, Option<u8>)> {
    let mut bytes = [0; 1024];
    let (count, _) = office.post().take(&mut bytes);
    let (frame, _) = decode(&bytes[..count]).expect("a frame or nothing")?;
    assert_eq!(frame.head.request, 5);
    Some((frame.head.kind, frame.payload.first().copied()))
}

/// Whether the asker was told that there will be no reply.
fn is_refused(office: &Office) -> bool {
    told(office).is_some_and(|(kind, _)| kind == Kind::Failed)
}

#[test]
fn an_asker_is_told_that_nobody_has_subscribed_and_at_once_if_nobody_will() {
    let (office, now) = (office(), Instant::now());
    come(office, Kind::Message, &News(vec![]), now).expect("kept");
    assert_eq!(told(office), None);
    come(office, Kind::Request, &Question, now).expect("kept");
    assert_eq!(told(office), Some((Kind::Unheard, None)));
    let mut mailbox = Mailbox::<Question>::open(Some(office));
    office.inbox().desert();
    // Nothing changes for whoever has subscribed, nor for what was kept before.
    come(office, Kind::Request, &Question, now).expect("room");
    let both = [(); 2].map(|()| mailbox.try_recv().expect("it came").expect("a question"));
    assert_eq!(told(office), None);
    drop((both, mailbox));
    assert!(is_refused(office) && told(office).is_none(), "both, in one piece");
    come(office, Kind::Request, &Question, now).expect("not kept");
    assert_eq!(told(office), Some((Kind::Failed, Some(4))));
    assert_eq!((told(office), office.owed().count()), (None, 0));
    let mut mailbox = Mailbox::<Question>::open(Some(office));
    assert!(mailbox.try_recv().is_none());
}

#[test]
fn a_deadline_says_whether_nobody_had_subscribed() {
    let (office, now) = (office(), Instant::now());
    let answers = [(); 2].map(|()| office.asked().open(now).expect("room"));
    let (from, to) = (Place::Worker(WorkerId(7)), Place::Master);
    let bytes = Head::unheard(from, to, answers[1].0);
    let run = Run::at_front(&bytes).expect("a frame").expect("all of it");
    office.receive(&run, &mut None, now).expect("no mailbox has it");
    office.expire(now);
    let unheard = answers.map(|(_, mut answer)| match answer.try_recv() {
        Ok(Answer::TimedOut { unheard }) => unheard,
        other => panic!("{other:?}"),
    });
    assert_eq!(unheard, [false, true]);
}

#[test]
fn a_request_that_is_dropped_in_any_way_is_refused_and_an_answered_one_is_not() {
    let (office, now) = (office(), Instant::now());
    let mut mailbox = Mailbox::<Question>::open(Some(office));
    let mut next = || {
        come(office, Kind::Request, &Question, now).expect("room");
        mailbox.try_recv().expect("it came").expect("a question")
    };
    drop(next());
    assert!(is_refused(office));
    let mail = next();
    assert!(mail.reply.is_awaited() && !is_refused(office));
    mail.reply.send(&3).wait().expect("room");
    assert!(!is_refused(office), "the answer");
    assert!(!is_refused(office), "nothing after it");
    come(office, Kind::Request, &Question, now).expect("room");
    drop(mailbox);
    assert!(is_refused(office), "with its mailbox");
}

/// The hub says that worker 7 waits no longer for this request.
fn abandon(office: &'static Office, request: u64) {
    let bytes = Head::abandoned(Place::Worker(WorkerId(7)), Place::Master, request);
    let run = Run::at_front(&bytes).expect("a frame").expect("all of it");
    office.receive(&run, &mut None, Instant::now()).expect("no mailbox has it");
}

#[test]
fn whoever_is_at_work_on_an_answer_is_told_that_nobody_waits() {
    let (office, now) = (office(), Instant::now());
    let mut mailbox = Mailbox::<Question>::open(Some(office));
    let mut next = |kind| {
        come(office, kind, &Question, now).expect("room");
        mailbox.try_recv().expect("it came").expect("a question")
    };
    let mail = next(Kind::Request);
    abandon(office, 4);
    assert!(mail.reply.is_awaited(), "another was meant");
    runtime().block_on(async {
        let over = mail.reply.abandoned();
        let given_up = async { abandon(office, 5) };
        // It waits before it is told.
        tokio::join!(biased; over, given_up);
        assert!(!mail.reply.is_awaited());
        mail.reply.abandoned().await;
        next(Kind::Message).reply.abandoned().await;
    });
    // An answer goes nowhere, but the hub is told that this process is at work on it no more.
    mail.reply.send(&3).wait().expect("no error");
    assert!(is_refused(office));
    assert!(!is_refused(office));
    assert_eq!(office.owed().count(), 0);
    // In whose hands it is does not matter.
    come(office, Kind::Request, &Question, now).expect("room");
    abandon(office, 5);
    assert!(!mailbox.try_recv().expect("it came").expect("a question").reply.is_awaited());
    assert!(is_refused(office));
}

#[test]
fn of_two_mailboxes_with_a_request_each_knows_that_the_other_has_answered() {
    let (office, now) = (office(), Instant::now());
    let mut mailboxes = [(); 2].map(|()| Mailbox::<Question>::open(Some(office)));
    come(office, Kind::Request, &Question, now).expect("room");
    let [first, second] = mailboxes.each_mut().map(|m| m.try_recv().expect("it came"));
    let (first, second) = (first.expect("a question"), second.expect("a question"));
    first.reply.send(&3).wait().expect("room");
    assert!(!second.reply.is_awaited());
    runtime().block_on(second.reply.abandoned());
    // A number that is used again is another request, whatever becomes of the first one.
    come(office, Kind::Request, &Question, now).expect("room");
    drop(second);
    assert_eq!(office.owed().count(), 1);
    abandon(office, 5);
    let [again, _] = mailboxes.each_mut().map(|m| m.try_recv().expect("it came"));
    assert!(!again.expect("a question").reply.is_awaited());
}

#[test]
fn a_deadline_is_kept_without_a_runtime_and_leaves_nothing() {
    let office = office();
    let (_, mut answer) = office.asked().open(Instant::now()).expect("room");
    office.expire(Instant::now() + Duration::from_secs(1));
    assert!(answer.try_recv().is_ok());
    assert_eq!(office.next_deadline(), None);
}

/// A runtime as a worker has.
fn runtime() -> tokio::runtime::Runtime {
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
