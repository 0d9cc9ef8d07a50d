//! Tests of requests in the process that is asked, and in the one that asks: how each ends, and who is told.

use std::time::{Duration, Instant};

use super::{
    Mailbox, Requesting,
    asked::Answer,
    delivery_tests::{News, Question, come, office, runtime},
    office::Office,
    sending::Sending,
};
use crate::{
    id::WorkerId,
    mail::{Head, Kind, Place, WAITING_BYTES_MAX, decode, run::Run},
};

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

/// Fills the outbox; what comes behind is a piece of its own.
fn fill_outbox(office: &Office) {
    let letter = || vec![0; 1 << 20].into();
    while let Some(room) = office.post().try_room(&letter()) {
        office.post().push(letter(), room);
    }
}

/// Takes what filled the outbox, and nothing else.
fn make_room(office: &Office) {
    let mut left = WAITING_BYTES_MAX;
    while left > 0 {
        left -= office.post().take(&mut [0; 1 << 16]).0;
    }
}

#[test]
fn an_answer_that_is_dropped_while_it_waits_for_room_lets_the_request_fail() {
    let (office, now) = (office(), Instant::now());
    let mut mailbox = Mailbox::<Question>::open(Some(office));
    let mut answer = || {
        come(office, Kind::Request, &Question, now).expect("room");
        fill_outbox(office);
        mailbox.try_recv().expect("it came").expect("a question").reply.send(&3)
    };
    drop(answer());
    make_room(office);
    assert!(is_refused(office));
    let answer = answer();
    make_room(office);
    answer.wait().expect("room");
    assert_eq!(told(office).map(|(kind, _)| kind), Some(Kind::Reply));
    assert_eq!((told(office), office.owed().count()), (None, 0));
}

#[test]
fn a_request_whose_deadline_passes_while_it_waits_for_room_is_not_sent() {
    let (office, now) = (office(), Instant::now());
    fill_outbox(office);
    let sending = Sending::start(office, vec![0; 64]);
    let opened = office.asked().open(now).expect("room");
    let request = opened.0;
    let asking = Requesting::<u32>::open(office, String::new(), opened, sending, now);
    office.expire(now);
    make_room(office);
    assert!(asking.wait().expect_err("it is late").is_timeout());
    let mut bytes = [0; 1024];
    let (count, _) = office.post().take(&mut bytes);
    let (frame, total) = decode(&bytes[..count]).expect("a frame").expect("all of it");
    assert_eq!((frame.head.kind, frame.head.request), (Kind::Abandoned, request));
    assert_eq!((count, office.post().is_empty()), (total, true), "and nothing else");
}

#[test]
fn a_deadline_is_kept_without_a_runtime_and_leaves_nothing() {
    let office = office();
    let (_, mut answer) = office.asked().open(Instant::now()).expect("room");
    office.expire(Instant::now() + Duration::from_secs(1));
    assert!(answer.try_recv().is_ok());
    assert_eq!(office.next_deadline(), None);
}
