//! Tests of the exchange: who gets a frame, who waits, who lags, how requests end. No sockets.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Instant,
};

use super::{
    directory::Directory,
    exchange::{Exchange, Parked},
};
use crate::{
    id::WorkerId,
    mail::{
        Failure, Head, Kind, OPEN_REQUESTS_MAX, Place, WAITING_BYTES_MAX, decode,
        patience::PATIENCE, run::Run,
    },
    sys::scoreboard::Row,
};

/// What came for a process: kind, request (or how many were missed), first byte of the payload.
type Came = (Kind, u64, Option<u8>);

struct Scene {
    exchange: Exchange,
    /// What C says of itself.
    row: &'static Row,
    directory: Arc<Directory>,
    master: Arc<Mutex<Vec<Came>>>,
    start: Instant,
}

const SERVICE: u64 = 5;
const A: WorkerId = WorkerId(1);
const B: WorkerId = WorkerId(2);
const C: WorkerId = WorkerId(3);

impl Scene {
    /// Three workers in slots 0, 1 and 1.
    fn new() -> Self {
        let directory = Arc::new(Directory::default());
        let master = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&master);
        let local = Box::new(move |run: &Run<'_>, _: &mut _, _| {
            let frame = run.first;
            let first = frame.payload.first().copied();
            seen.lock().expect("no panic").push((frame.head.kind, frame.head.request, first));
            Ok(())
        });
        let row = Box::leak(Box::new(Row::new()));
        let mut exchange = Exchange::new(Arc::clone(&directory), local);
        for (worker, slot) in [(A, 0), (B, 1), (C, 1)] {
            exchange.add(worker, row);
            directory.add(worker, slot, SERVICE);
        }
        Self { exchange, row, directory, master, start: Instant::now() }
    }

    fn send(
        &mut self,
        kind: Kind,
        from: Place,
        to: Place,
        n: u64,
        payload: &[u8],
    ) -> Option<Parked> {
        self.try_send(kind, from, to, n, payload, self.start).expect("a good frame")
    }

    fn try_send(
        &mut self,
        kind: Kind,
        from: Place,
        to: Place,
        request: u64,
        payload: &[u8],
        now: Instant,
    ) -> Result<Option<Parked>, String> {
        let head = Head { kind, from, to, request, fingerprint: 0, generation: 1 };
        let bytes = head.encode("News", payload);
        let run = Run::at_front(&bytes)?.expect("all of it");
        self.exchange.route(from, &run, &mut None, now)
    }

    /// Several messages at once, one for each byte.
    fn send_run(&mut self, from: Place, to: Place, payloads: &[u8]) -> Option<Parked> {
        let kind = Kind::Message;
        let head = Head { kind, from, to, request: 0, fingerprint: 0, generation: 1 };
        let bytes: Vec<u8> =
            payloads.iter().flat_map(|&byte| head.encode("News", &[byte])).collect();
        let run = Run::at_front(&bytes).expect("good bytes").expect("all of it");
        assert_eq!(run.count, payloads.len());
        self.exchange.route(from, &run, &mut None, self.start).expect("a good run")
    }

    /// Takes everything that waits for a worker.
    fn take(&mut self, worker: WorkerId) -> Vec<Came> {
        let line = self.exchange.lines.get_mut(&worker).expect("it lives");
        let mut bytes = Vec::new();
        while !line.outbox.is_empty() {
            let front = line.outbox.front().0.to_vec();
            bytes.extend_from_slice(&front);
            line.written(worker, front.len(), self.start);
        }
        let (mut rest, mut came) = (&bytes[..], Vec::new());
        while let Some((frame, total)) = decode(rest).expect("frames") {
            came.push((frame.head.kind, frame.head.request, frame.payload.first().copied()));
            rest = &rest[total..];
        }
        assert!(rest.is_empty());
        came
    }
}

fn worker(id: WorkerId) -> Place {
    Place::Worker(id)
}

#[test]
fn a_broadcast_reaches_everybody_else() {
    let mut scene = Scene::new();
    assert!(scene.send(Kind::Message, worker(A), Place::Everyone, 0, b"x").is_none());
    let came = vec![(Kind::Message, 0, Some(b'x'))];
    assert_eq!(scene.take(A), []);
    assert_eq!(scene.take(B), came);
    assert_eq!(scene.take(C), came);
    assert_eq!(*scene.master.lock().expect("no panic"), came);
}

#[test]
fn a_message_to_a_service_is_for_its_workers_all_of_them_or_one() {
    let mut scene = Scene::new();
    assert!(scene.send(Kind::Message, worker(A), Place::Workers(SERVICE), 0, b"x").is_none());
    assert!(scene.send(Kind::Message, worker(A), Place::Workers(9), 0, b"y").is_none());
    assert_eq!((scene.take(A).len(), scene.take(B).len(), scene.take(C).len()), (0, 1, 1));
    assert_eq!(*scene.master.lock().expect("no panic"), []);
    scene.directory.set_ready(B);
    for _ in 0..2 {
        scene.send(Kind::Message, worker(A), Place::Service(SERVICE), 0, b"x");
    }
    assert_eq!((scene.take(A).len(), scene.take(B).len(), scene.take(C).len()), (0, 2, 0));
}

#[test]
fn a_full_receiver_holds_its_sender_up_then_lags_alone_and_is_told_how_many() {
    let mut scene = Scene::new();
    let big = vec![1; WAITING_BYTES_MAX];
    let everyone = Place::Everyone;
    assert!(scene.send(Kind::Message, worker(A), everyone, 0, &big).is_none());
    assert_eq!(scene.take(B).len(), 1);
    // C has taken nothing: only it has to be waited for.
    let parked = scene.send(Kind::Message, worker(A), everyone, 0, b"2").expect("C is full");
    assert_eq!(scene.take(B).len(), 1);
    let now = scene.start + PATIENCE / 2;
    let parked = scene.exchange.retry(parked, now).expect("C is still full");
    assert_eq!(parked.until, scene.start + PATIENCE);
    assert!(scene.exchange.retry(parked, scene.start + PATIENCE).is_none(), "C lags");
    for _ in 0..4 {
        assert!(scene.send(Kind::Message, worker(A), everyone, 0, b"3").is_none());
    }
    assert_eq!(scene.take(B).len(), 4);
    // One was dropped at its retry, four later.
    let came = scene.take(C);
    assert_eq!(came, [(Kind::Message, 0, Some(1)), (Kind::Lagged, 5, None)]);
    assert!(scene.send(Kind::Message, worker(A), everyone, 0, b"4").is_none());
    assert_eq!(scene.take(C), [(Kind::Message, 0, Some(b'4'))]);
}

#[test]
fn a_full_receiver_that_reads_what_it_has_is_waited_for() {
    let mut scene = Scene::new();
    assert!(
        scene.send(Kind::Message, worker(A), worker(C), 0, &vec![0; WAITING_BYTES_MAX]).is_none()
    );
    let mut parked = scene.send(Kind::Message, worker(A), worker(C), 0, b"2").expect("C is full");
    let mut now = scene.start;
    for _ in 0..3 {
        scene.row.reads.fetch_add(1, Ordering::Relaxed);
        now += PATIENCE;
        parked = scene.exchange.retry(parked, now).expect("C is slow, and no more");
        assert_eq!(parked.until, now + PATIENCE);
    }
    assert!(scene.exchange.retry(parked, now + PATIENCE).is_none(), "C lags");
}

#[test]
fn what_ends_a_request_is_told_however_much_waits() {
    let mut scene = Scene::new();
    scene.send(Kind::Message, worker(B), worker(A), 0, &vec![0; 10 << 20]);
    scene.send(Kind::Request, worker(A), worker(C), 1, b"?");
    scene.exchange.ended(C, scene.start);
    let kinds: Vec<Kind> = scene.take(A).iter().map(|came| came.0).collect();
    assert_eq!(kinds, [Kind::Message, Kind::Ended, Kind::Failed]);
}

#[test]
fn notices_have_a_bound_of_their_own_until_they_are_taken() {
    let mut scene = Scene::new();
    let nobody = worker(WorkerId(9));
    let most = 2 * (1 << 20) / 64;
    for n in 0..most {
        scene.send(Kind::Request, worker(A), nobody, n, b"?");
    }
    let told = scene.take(A).len() as u64;
    assert!((most / 4..most).contains(&told), "{told} of {most}");
    scene.send(Kind::Request, worker(A), nobody, 1, b"?");
    assert_eq!(scene.take(A).len(), 1, "room again");
}

#[test]
fn a_run_goes_the_way_of_its_messages_and_counts_as_many() {
    let mut scene = Scene::new();
    let came = |payloads: &[u8]| -> Vec<Came> {
        payloads.iter().map(|&byte| (Kind::Message, 0, Some(byte))).collect()
    };
    assert!(scene.send_run(worker(A), Place::Everyone, b"123").is_none());
    assert_eq!(scene.take(A), []);
    assert_eq!((scene.take(B), scene.take(C)), (came(b"123"), came(b"123")));
    assert_eq!(*scene.master.lock().expect("no panic"), [(Kind::Message, 0, Some(b'1'))], "a run");
    assert!(scene.send_run(worker(A), worker(B), b"45").is_none());
    assert_eq!((scene.take(B), scene.take(C)), (came(b"45"), vec![]));
    // A receiver that is full has all of it later, or misses all of it.
    scene.send(Kind::Message, worker(A), worker(C), 0, &vec![0; WAITING_BYTES_MAX]);
    let parked = scene.send_run(worker(A), Place::Everyone, b"678").expect("C is full");
    assert_eq!(scene.take(B), came(b"678"));
    assert_eq!(scene.take(C).len(), 1);
    assert!(scene.exchange.retry(parked, scene.start).is_none());
    assert_eq!(scene.take(C), came(b"678"));
    scene.send(Kind::Message, worker(A), worker(C), 0, &vec![0; WAITING_BYTES_MAX]);
    let parked = scene.send_run(worker(A), worker(C), b"90").expect("C is full");
    assert!(scene.exchange.retry(parked, scene.start + PATIENCE).is_none(), "C lags");
    assert_eq!(scene.take(C), [(Kind::Message, 0, Some(0)), (Kind::Lagged, 2, None)]);
}

#[test]
fn a_request_ends_in_one_way() {
    let failed = |n, failure| {
        let (from, to) = (Place::Master, worker(A));
        let bytes = Head::failed(from, to, n, failure);
        let byte = bytes.last().copied();
        (Kind::Failed, n, byte)
    };
    let mut scene = Scene::new();
    // Nobody there.
    scene.send(Kind::Request, worker(A), worker(WorkerId(9)), 1, b"?");
    scene.send(Kind::Request, worker(A), Place::Slot(7), 2, b"?");
    assert_eq!(scene.take(A), [failed(1, Failure::Gone), failed(2, Failure::Gone)]);
    // Answered, once, by who was asked.
    scene.send(Kind::Request, worker(A), worker(B), 3, b"?");
    scene.send(Kind::Reply, worker(C), worker(A), 3, b"!");
    assert_eq!(scene.take(A), []);
    scene.send(Kind::Reply, worker(B), worker(A), 3, b"!");
    scene.send(Kind::Reply, worker(B), worker(A), 3, b"!");
    assert_eq!(scene.take(A), [(Kind::Reply, 3, Some(b'!'))]);
    // Who was asked dies; what was abandoned before is not told.
    scene.send(Kind::Request, worker(A), worker(B), 4, b"?");
    scene.send(Kind::Request, worker(A), worker(B), 5, b"?");
    scene.send(Kind::Abandoned, worker(A), Place::Master, 4, b"");
    scene.exchange.ended(B, scene.start);
    assert_eq!(scene.take(A), [(Kind::Ended, 0, None), failed(5, Failure::Gone)]);
}

#[test]
fn a_request_to_a_service_is_for_the_worker_with_the_fewest_however_others_end() {
    let mut scene = Scene::new();
    [A, B, C].into_iter().for_each(|worker| scene.directory.set_ready(worker));
    let service = Place::Service(SERVICE);
    let ask = |scene: &mut Scene, number| {
        scene.send(Kind::Request, Place::Master, service, number, b"?");
        let asked = [A, B, C].map(|worker| !scene.take(worker).is_empty());
        [A, B, C].into_iter().zip(asked).find(|(_, asked)| *asked).map(|(worker, _)| worker)
    };
    assert_eq!([0, 1, 2, 3].map(|n| ask(&mut scene, n)), [A, B, C, A].map(Some));
    // Answered, and dropped.
    scene.send(Kind::Reply, worker(C), Place::Master, 2, b"!");
    assert_eq!(ask(&mut scene, 4), Some(C));
    scene.send(Kind::Failed, worker(B), Place::Master, 1, &[1]);
    assert_eq!(ask(&mut scene, 5), Some(B));
    // A has two, of which nobody waits for one: it may be at work on it all the same.
    scene.send(Kind::Abandoned, Place::Master, Place::Master, 3, b"");
    assert_eq!(scene.take(A), [(Kind::Abandoned, 3, None)]);
    assert_eq!([6, 7].map(|n| ask(&mut scene, n)), [C, B].map(Some));
    scene.send(Kind::Failed, worker(A), Place::Master, 3, &[1]);
    assert_eq!(ask(&mut scene, 8), Some(A));
    // A message has its turn, whoever is busy.
    scene.send(Kind::Message, Place::Master, service, 0, b"x");
    assert_eq!((scene.take(A).len(), scene.take(B).len(), scene.take(C).len()), (0, 1, 0));
    // Who has died takes its count along; who comes has none.
    scene.directory.remove(B);
    scene.exchange.ended(B, scene.start);
    assert_eq!((scene.take(A).len(), scene.take(C).len()), (1, 1), "that B has ended");
    let new = WorkerId(4);
    scene.exchange.add(new, scene.row);
    scene.directory.add(new, 1, SERVICE);
    scene.directory.set_ready(new);
    for number in [9, 10] {
        scene.send(Kind::Request, Place::Master, service, number, b"?");
    }
    assert_eq!((scene.take(A).len(), scene.take(C).len(), scene.take(new).len()), (0, 0, 2));
}

#[test]
fn who_is_to_answer_is_told_once_that_nobody_waits() {
    let mut scene = Scene::new();
    let told = |number| (Kind::Abandoned, number, None);
    for (number, to) in [(0, worker(B)), (1, worker(B)), (2, Place::Master)] {
        scene.send(Kind::Request, worker(A), to, number, b"?");
    }
    assert_eq!(scene.take(B).len(), 2);
    for _ in 0..2 {
        scene.send(Kind::Abandoned, worker(A), Place::Master, 0, b"");
    }
    assert_eq!(scene.take(B), [told(0)]);
    scene.exchange.ended(A, scene.start);
    assert_eq!(scene.take(B), [(Kind::Ended, 0, None), told(1)]);
    assert_eq!(scene.master.lock().expect("no panic").last(), Some(&told(2)));
    // Who has answered is not told.
    scene.send(Kind::Request, worker(C), worker(B), 0, b"?");
    assert_eq!(scene.take(B).len(), 1);
    scene.send(Kind::Reply, worker(B), worker(C), 0, b"!");
    scene.send(Kind::Abandoned, worker(C), Place::Master, 0, b"");
    assert_eq!(scene.take(B), []);
}

#[test]
fn only_who_waits_is_told_that_nobody_has_subscribed_and_by_whom_it_asked() {
    let mut scene = Scene::new();
    let told = |number| (Kind::Unheard, number, None);
    scene.send(Kind::Request, worker(A), worker(B), 0, b"?");
    scene.send(Kind::Request, Place::Master, worker(B), 1, b"?");
    for (by, to, number) in [(B, worker(A), 0), (C, worker(A), 0), (B, worker(A), 1)] {
        scene.send(Kind::Unheard, worker(by), to, number, b"");
    }
    assert_eq!(scene.take(A), [told(0)]);
    scene.send(Kind::Unheard, worker(B), Place::Master, 1, b"");
    assert_eq!(*scene.master.lock().expect("no panic"), [told(1)]);
    // Nor is it over.
    scene.send(Kind::Reply, worker(B), worker(A), 0, b"!");
    assert_eq!(scene.take(A), [(Kind::Reply, 0, Some(b'!'))]);
}

#[test]
fn whoever_sends_to_a_worker_that_has_ended_is_told_and_to_one_that_is_yet_to_be_is_not() {
    let mut scene = Scene::new();
    scene.exchange.ended(B, scene.start);
    let told = [(Kind::Ended, 0, None)];
    assert_eq!(scene.take(A), told);
    assert_eq!(scene.take(C), told);
    scene.send(Kind::Message, worker(A), worker(B), 0, b"x");
    assert_eq!(scene.take(A), told);
    scene.send(Kind::Message, worker(A), worker(WorkerId(4)), 0, b"x");
    assert_eq!(scene.take(A), []);
}

#[test]
fn an_asker_has_a_bound_and_gets_it_back() {
    let mut scene = Scene::new();
    let most = OPEN_REQUESTS_MAX as u64;
    for n in 0..most {
        scene.send(Kind::Request, worker(A), Place::Master, n, b"?");
    }
    assert_eq!(scene.take(A), []);
    scene.send(Kind::Request, worker(A), Place::Master, most, b"?");
    assert_eq!(scene.take(A), [(Kind::Failed, most, Some(3))]);
    scene.send(Kind::Reply, Place::Master, worker(A), 0, b"!");
    scene.send(Kind::Request, worker(A), Place::Master, most, b"?");
    assert_eq!(scene.take(A), [(Kind::Reply, 0, Some(b'!'))]);
}

#[test]
fn what_a_worker_may_not_send_is_an_error() {
    let mut scene = Scene::new();
    let now = scene.start;
    for (kind, from, to) in [
        (Kind::Lagged, worker(A), Place::Master),
        (Kind::Request, worker(A), Place::Everyone),
        (Kind::Request, worker(A), Place::Workers(SERVICE)),
    ] {
        assert!(scene.try_send(kind, from, to, 1, b"", now).is_err(), "{kind:?}");
    }
    let head = Head {
        kind: Kind::Message,
        from: worker(B),
        to: Place::Master,
        request: 0,
        fingerprint: 0,
        generation: 1,
    };
    let bytes = head.encode("News", b"");
    let run = Run::at_front(&bytes).expect("good").expect("all");
    assert!(scene.exchange.route(worker(A), &run, &mut None, now).is_err(), "another's name");
}
