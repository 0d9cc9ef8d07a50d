//! The supervisor's rules for start, exits and stop, as tables of inputs and actions.
//!
//! Time is a number here: a run of minutes takes microseconds.

use std::{
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, Instant},
};

use super::{Action, Input, Supervisor};
use crate::{
    config::{Config, Respawn, ServiceConfig},
    endpoint::Endpoint,
    event::{Event, ExitCause, WorkerState},
    id::{ListenerId, WorkerId},
};

/// A supervisor with a clock of its own, and everything it did.
pub(super) struct Bench {
    pub(super) supervisor: Supervisor,
    pub(super) now: Instant,
    pub(super) done: Vec<Action>,
}

pub(super) const LISTENER: ListenerId = ListenerId(0);

impl Bench {
    pub(super) fn new(workers: usize, change: impl FnOnce(&mut Config)) -> Self {
        let mut rules = Config { respawn: Respawn::Always, ..Config::default() };
        change(&mut rules);
        Self::of(vec![ServiceConfig::only(rules.clone(), workers)], rules)
    }

    pub(super) fn of(services: Vec<ServiceConfig>, rules: Config) -> Self {
        let now = Instant::now();
        let mut bench =
            Self { supervisor: Supervisor::new(rules, services, 1, now), now, done: Vec::new() };
        bench.feed(Input::Start);
        bench.feed(Input::ZygoteUp { generation: 1 });
        bench
    }

    pub(super) fn feed(&mut self, input: Input) -> Vec<Action> {
        let actions = self.supervisor.step(input, self.now);
        self.done.extend(actions.iter().cloned());
        actions
    }

    pub(super) fn pass(&mut self, time: Duration) -> Vec<Action> {
        let until = self.now + time;
        let mut actions = Vec::new();
        while let Some(at) = self.supervisor.next_deadline().filter(|&at| at <= until) {
            self.now = self.now.max(at);
            actions.extend(self.feed(Input::Tick));
        }
        self.now = until;
        actions
    }

    /// The workers that the actions ask for.
    pub(super) fn spawns(actions: &[Action]) -> Vec<(WorkerId, usize)> {
        let spawn = |action: &Action| match action {
            Action::Spawn { worker, slot, .. } => Some((*worker, *slot)),
            _ => None,
        };
        actions.iter().filter_map(spawn).collect()
    }

    /// The last worker that was asked for in `slot`.
    pub(super) fn last(&self, slot: usize) -> WorkerId {
        Self::spawns(&self.done).into_iter().rfind(|&(_, s)| s == slot).expect("a spawn").0
    }

    pub(super) fn online(&mut self, worker: WorkerId) {
        let pid = 1000 + u32::try_from(worker.as_u64()).expect("few workers");
        self.feed(Input::Spawned { worker, pid });
        self.feed(Input::Greeted { worker });
        self.feed(Input::Online { worker });
    }

    pub(super) fn serve(&mut self, worker: WorkerId) {
        self.online(worker);
        let addr = Endpoint::Tcp(([127, 0, 0, 1], 80).into());
        self.feed(Input::Bound { worker, listener: LISTENER, addr });
        self.feed(Input::Accepting { worker, listener: LISTENER });
    }

    pub(super) fn serve_all(&mut self, workers: usize) {
        for slot in 0..workers {
            let worker = self.last(slot);
            self.serve(worker);
        }
    }

    pub(super) fn exit(&mut self, worker: WorkerId, status: ExitStatus) -> Vec<Action> {
        self.feed(Input::Reaped { worker, status, lost: 0 })
    }
}

pub(super) fn code(code: i32) -> ExitStatus {
    ExitStatus::from_raw(code << 8)
}

pub(super) fn signal(signal: i32) -> ExitStatus {
    ExitStatus::from_raw(signal)
}

pub(super) fn delay(actions: &[Action]) -> Option<u128> {
    actions.iter().find_map(|action| match action {
        Action::Emit(Event::Respawning { delay, .. }) => Some(delay.as_millis()),
        _ => None,
    })
}

pub(super) fn cause(actions: &[Action]) -> Option<ExitCause> {
    actions.iter().find_map(|action| match action {
        Action::Emit(Event::Exited { cause, .. }) => Some(*cause),
        _ => None,
    })
}

pub(super) fn end(actions: &[Action]) -> Option<i32> {
    actions.iter().find_map(|action| match action {
        Action::End { code } => Some(*code),
        _ => None,
    })
}

#[test]
fn the_first_worker_starts_alone_and_the_others_when_it_is_ready() {
    let mut bench = Bench::new(4, |_| {});
    assert_eq!(Bench::spawns(&bench.done), [(WorkerId(1), 0)]);
    bench.serve(WorkerId(1));
    let slots: Vec<_> = Bench::spawns(&bench.done).into_iter().map(|(_, slot)| slot).collect();
    assert_eq!(slots, [0, 1, 2, 3]);
}

#[test]
fn the_others_start_when_the_first_has_run_a_second() {
    let mut bench = Bench::new(2, |_| {});
    bench.online(WorkerId(1));
    bench.feed(Input::Bound {
        worker: WorkerId(1),
        listener: LISTENER,
        addr: Endpoint::Tcp(([127, 0, 0, 1], 80).into()),
    });
    assert_eq!(Bench::spawns(&bench.pass(Duration::from_millis(999))), []);
    assert_eq!(Bench::spawns(&bench.pass(Duration::from_millis(1))), [(WorkerId(2), 1)]);
}

#[test]
fn dispatch_opens_when_all_are_ready_or_after_a_moment() {
    let mut bench = Bench::new(2, |_| {});
    bench.serve(WorkerId(1));
    assert!(!bench.done.contains(&Action::OpenDispatch));
    bench.serve(WorkerId(2));
    assert!(bench.done.contains(&Action::OpenDispatch));

    let mut slow = Bench::new(2, |_| {});
    slow.serve(WorkerId(1));
    assert!(slow.pass(Duration::from_secs(1)).contains(&Action::OpenDispatch));
}

#[test]
fn a_kill_from_outside_is_followed_at_once_however_often() {
    let mut bench = Bench::new(1, |_| {});
    for _ in 0..20 {
        let worker = bench.last(0);
        bench.serve(worker);
        let actions = bench.exit(worker, signal(9));
        assert_eq!(delay(&actions), Some(0));
        assert_eq!(Bench::spawns(&actions).len(), 1, "in the same step");
    }
}

#[test]
fn faults_soon_after_ready_are_followed_more_and_more_slowly() {
    let mut bench = Bench::new(2, |_| {});
    bench.serve_all(2);
    for expected in [100_u64, 200, 400, 800, 1600] {
        let worker = bench.last(1);
        let actions = bench.exit(worker, signal(8));
        assert_eq!(delay(&actions), Some(expected.into()));
        bench.pass(Duration::from_millis(expected));
        let next = bench.last(1);
        bench.serve(next);
    }
    // Forgotten after 30 s of life.
    bench.pass(Duration::from_secs(30));
    let worker = bench.last(1);
    let actions = bench.exit(worker, signal(11));
    assert_eq!(delay(&actions), Some(0), "a fault after a long life is no early one");
    bench.pass(Duration::from_secs(1));
    let worker = bench.last(1);
    bench.serve(worker);
    let actions = bench.exit(worker, signal(11));
    assert_eq!(delay(&actions), Some(100));
}

#[test]
fn five_failed_starts_and_nobody_ready_is_giving_up() {
    let mut bench = Bench::new(3, |_| {});
    let mut starts = 0;
    let actions = loop {
        starts += 1;
        let worker = bench.last(0);
        bench.online(worker);
        bench.feed(Input::MainEnded { worker, code: 1, panicked: false });
        let actions = bench.exit(worker, code(1));
        assert_eq!(cause(&actions), Some(ExitCause::FailedToStart));
        if delay(&actions).is_none() {
            break actions;
        }
        assert!(delay(&actions) <= Some(1000), "nobody is ready");
        bench.pass(Duration::from_secs(1));
    };
    assert_eq!(starts, 5);
    assert!(actions.contains(&Action::Emit(Event::GaveUp { failed_starts: 5, service: None })));
    assert!(actions.contains(&Action::KillZygote { generation: 1 }));
    assert_eq!(
        end(&bench.feed(Input::ZygoteExited { generation: 1, reason: String::new() })),
        Some(70)
    );
}

#[test]
fn a_slot_that_cannot_start_ends_nothing_while_others_serve() {
    let mut bench = Bench::new(4, |_| {});
    bench.serve_all(3);
    for _ in 0..30 {
        let worker = bench.last(3);
        bench.online(worker);
        let actions = bench.exit(worker, code(1));
        let delay = delay(&actions).expect("a respawn");
        bench.pass(Duration::from_millis(delay.try_into().expect("at most 30 s")));
    }
}

#[test]
fn help_ends_with_0_and_a_wrong_flag_with_2_after_one_start() {
    for status in [0, 2] {
        let mut bench = Bench::new(4, |_| {});
        bench.online(WorkerId(1));
        bench.exit(WorkerId(1), code(status));
        bench.feed(Input::ListenersClosed);
        assert_eq!(Bench::spawns(&bench.done).len(), 1);
        assert_eq!(
            end(&bench.feed(Input::ZygoteExited { generation: 1, reason: String::new() })),
            Some(status)
        );
    }
}

#[test]
fn without_respawn_the_first_failure_before_ready_is_the_end() {
    let mut bench = Bench::new(4, |rules| rules.respawn = Respawn::Never);
    bench.online(WorkerId(1));
    bench.feed(Input::MainEnded { worker: WorkerId(1), code: 1, panicked: false });
    bench.exit(WorkerId(1), code(1));
    bench.feed(Input::ListenersClosed);
    assert_eq!(
        end(&bench.feed(Input::ZygoteExited { generation: 1, reason: String::new() })),
        Some(1)
    );
}

#[test]
fn without_respawn_the_end_has_the_last_code_that_is_not_0() {
    let mut bench = Bench::new(3, |rules| rules.respawn = Respawn::Never);
    bench.serve_all(3);
    bench.exit(WorkerId(1), code(0));
    bench.exit(WorkerId(2), code(3));
    bench.exit(WorkerId(3), code(0));
    assert_eq!(
        end(&bench.feed(Input::ZygoteExited { generation: 1, reason: String::new() })),
        Some(3)
    );
}

#[test]
fn on_failure_leaves_who_finished_and_replaces_who_failed() {
    let mut bench = Bench::new(2, |rules| rules.respawn = Respawn::OnFailure);
    bench.serve_all(2);
    bench.pass(Duration::from_secs(5));
    assert_eq!(delay(&bench.exit(WorkerId(1), code(0))), None);
    assert_eq!(delay(&bench.exit(WorkerId(2), code(1))), Some(0));
}

#[test]
fn a_stop_closes_drains_kills_at_grace_and_ends_after_the_last_reap() {
    let mut bench = Bench::new(2, |_| {});
    bench.serve_all(2);
    let actions = bench.feed(Input::Stop { code: 0 });
    assert_eq!(actions, [Action::Emit(Event::Stopping), Action::CloseListeners]);
    assert_eq!(bench.feed(Input::Stop { code: 0 }), [], "a second one changes nothing");
    let actions = bench.feed(Input::ListenersClosed);
    assert!(actions.contains(&Action::Drain { worker: WorkerId(1) }));
    assert!(actions.contains(&Action::Drain { worker: WorkerId(2) }));
    assert_eq!(cause(&bench.exit(WorkerId(1), code(0))), Some(ExitCause::Stopped));
    let actions = bench.pass(Duration::from_secs(25));
    assert!(actions.contains(&Action::Kill { worker: WorkerId(2) }));
    bench.feed(Input::ZygoteExited { generation: 1, reason: String::new() });
    let actions = bench.exit(WorkerId(2), signal(9));
    assert_eq!(cause(&actions), Some(ExitCause::Stopped));
    assert_eq!(end(&actions), Some(0));
}

#[test]
fn a_second_interrupt_kills_unless_it_is_the_same_key() {
    let mut bench = Bench::new(1, |_| {});
    bench.serve_all(1);
    bench.feed(Input::Interrupt);
    bench.pass(Duration::from_millis(500));
    assert_eq!(bench.feed(Input::Interrupt), []);
    bench.pass(Duration::from_millis(500));
    assert!(bench.feed(Input::Interrupt).contains(&Action::Kill { worker: WorkerId(1) }));
}

#[test]
fn what_a_worker_asks_waits_for_the_masters_own_signal() {
    let mut bench = Bench::new(2, |_| {});
    bench.serve_all(2);
    bench.feed(Input::StopAsked { worker: WorkerId(1) });
    assert_eq!(bench.pass(Duration::from_millis(199)), []);
    let actions = bench.pass(Duration::from_millis(1));
    assert!(actions.contains(&Action::Drain { worker: WorkerId(1) }));
    // And is followed by a new worker, since respawn = "always".
    let actions = bench.exit(WorkerId(1), code(0));
    assert_eq!(cause(&actions), Some(ExitCause::Stopped));
    assert_eq!(Bench::spawns(&actions), [(WorkerId(3), 0)]);
}

#[test]
fn stop_waits_for_a_worker_if_nobody_else_can_serve_what_waits() {
    let mut bench = Bench::new(1, |_| {});
    bench.serve_all(1);
    bench.exit(WorkerId(1), signal(9));
    bench.feed(Input::Stop { code: 0 });
    assert!(!bench.feed(Input::ConnectionsWait).contains(&Action::Forsake(true)));
    bench.serve(WorkerId(2));
    assert!(bench.feed(Input::ListenersClosed).contains(&Action::Drain { worker: WorkerId(2) }));
}

#[test]
fn stop_waits_for_nobody_if_no_worker_is_on_the_way_to_what_waits() {
    let mut bench = Bench::new(2, |_| {});
    bench.serve_all(1);
    bench.feed(Input::Stop { code: 0 });
    // Worker 2 may be about to accept.
    assert!(!bench.feed(Input::ConnectionsWait).contains(&Action::Forsake(true)));
    let actions = bench.feed(Input::SaidReady { worker: WorkerId(2) });
    assert!(actions.contains(&Action::Forsake(true)));
    assert_eq!(bench.feed(Input::Tick), [], "once");
    // With both gone, another is to come.
    bench.exit(WorkerId(1), signal(9));
    let actions = bench.exit(WorkerId(2), signal(9));
    assert_eq!(actions.first(), Some(&Action::Forsake(false)), "before anything else");
    bench.serve(WorkerId(3));
    bench.serve(WorkerId(4));
    assert!(bench.done.contains(&Action::Forsake(true)));
}

#[test]
fn a_zygote_that_dies_is_replaced_and_asked_again() {
    let mut bench = Bench::new(2, |_| {});
    bench.serve_all(1);
    let actions = bench.feed(Input::ZygoteExited { generation: 1, reason: "SIGKILL".to_owned() });
    assert!(actions.contains(&Action::Forget { worker: WorkerId(2) }));
    assert!(actions.contains(&Action::ExecZygote { generation: 1 }));
    assert_eq!(Bench::spawns(&bench.feed(Input::ZygoteUp { generation: 1 })), [(WorkerId(3), 1)]);
}

#[test]
fn a_zygote_that_does_not_answer_is_killed() {
    let mut bench = Bench::new(1, |_| {});
    assert!(bench.pass(Duration::from_secs(5)).contains(&Action::KillZygote { generation: 1 }));
    bench.feed(Input::ZygoteExited { generation: 1, reason: String::new() });
    assert!(bench.pass(Duration::from_millis(100)).contains(&Action::ExecZygote { generation: 1 }));
}

#[test]
fn a_zygote_that_never_says_hello_is_given_up() {
    let only = ServiceConfig::only(Config::default(), 1);
    let mut supervisor = Supervisor::new(Config::default(), vec![only], 1, Instant::now());
    let mut now = Instant::now();
    let mut actions = supervisor.step(Input::Start, now);
    for _ in 0..5 {
        assert!(actions.contains(&Action::ExecZygote { generation: 1 }));
        actions = supervisor
            .step(Input::ZygoteExited { generation: 1, reason: "exec: EACCES".to_owned() }, now);
        now += Duration::from_secs(1);
        actions.extend(supervisor.step(Input::Tick, now));
    }
    assert_eq!(end(&actions), Some(70));
}

/// A supervisor of one worker whose first zygote has begun to preload, with a `start_timeout` of 20 s.
fn preloading() -> Bench {
    let start_timeout = Duration::from_secs(20);
    let rules = Config { respawn: Respawn::Always, start_timeout, ..Config::default() };
    let now = Instant::now();
    let only = ServiceConfig::only(rules.clone(), 1);
    let supervisor = Supervisor::new(rules, vec![only], 1, now);
    let mut bench = Bench { supervisor, now, done: Vec::new() };
    bench.feed(Input::Start);
    bench.feed(Input::ZygotePreloading { generation: 1 });
    bench
}

fn exited(generation: u32) -> Input {
    Input::ZygoteExited { generation, reason: "preload: no model".to_owned() }
}

#[test]
fn a_preload_has_as_long_as_a_start_and_no_longer() {
    let kill = Action::KillZygote { generation: 1 };
    let mut bench = preloading();
    assert_eq!(bench.pass(Duration::from_millis(19_999)), []);
    // Said again, it gains nothing.
    bench.feed(Input::ZygotePreloading { generation: 1 });
    assert!(bench.pass(Duration::from_millis(1)).contains(&kill));
    assert_eq!(end(&bench.feed(exited(1))), Some(70));

    let mut bench = preloading();
    bench.pass(Duration::from_secs(19));
    assert_eq!(Bench::spawns(&bench.feed(Input::ZygoteUp { generation: 1 })), [(WorkerId(1), 0)]);
}

#[test]
fn a_preload_that_fails_is_tried_again_only_if_anything_was_ever_ready() {
    assert_eq!(end(&preloading().feed(exited(1))), Some(70));

    let mut bench = Bench::new(1, |_| {});
    bench.serve_all(1);
    bench.feed(exited(1));
    for _ in 0..20 {
        bench.feed(Input::ZygotePreloading { generation: 1 });
        assert_eq!(end(&bench.feed(exited(1))), None, "a worker serves");
        assert!(
            bench.pass(Duration::from_secs(30)).contains(&Action::ExecZygote { generation: 1 })
        );
    }
}

#[test]
fn a_stop_during_a_preload_is_a_stop() {
    let mut bench = preloading();
    bench.feed(Input::Stop { code: 0 });
    let actions = bench.feed(Input::ListenersClosed);
    assert!(actions.contains(&Action::KillZygote { generation: 1 }));
    assert_eq!(end(&bench.feed(exited(1))), Some(0));

    // Also if it fails just then.
    let mut bench = preloading();
    bench.feed(Input::Stop { code: 0 });
    assert_eq!(end(&bench.feed(exited(1))), None);
    assert_eq!(end(&bench.feed(Input::ListenersClosed)), Some(0));
}

#[test]
fn a_silent_worker_a_slow_one_and_one_that_misbehaves_are_killed() {
    let mut bench = Bench::new(1, |rules| rules.start_timeout = Duration::from_secs(3));
    bench.feed(Input::Spawned { worker: WorkerId(1), pid: 1 });
    let kill = Action::Kill { worker: WorkerId(1) };
    assert!(bench.pass(Duration::from_secs(3)).contains(&kill), "start_timeout");

    let mut bench = Bench::new(1, |_| {});
    bench.feed(Input::Spawned { worker: WorkerId(1), pid: 1 });
    assert!(bench.pass(Duration::from_secs(5)).contains(&kill), "no hello");

    let mut bench = Bench::new(1, |_| {});
    bench.serve_all(1);
    let garbage = Input::Misbehaved { worker: WorkerId(1), what: "garbage".to_owned() };
    assert!(bench.feed(garbage).contains(&kill));

    let mut bench = Bench::new(1, |_| {});
    bench.serve_all(1);
    bench.feed(Input::LinkClosed { worker: WorkerId(1) });
    assert!(bench.pass(Duration::from_secs(2)).contains(&kill), "closed its link and lives");
}

#[test]
fn ready_takes_every_listener_that_the_slot_had() {
    let mut bench = Bench::new(1, |_| {});
    bench.serve(WorkerId(1));
    bench.feed(Input::Accepting { worker: WorkerId(1), listener: ListenerId(1) });
    bench.exit(WorkerId(1), signal(9));
    bench.serve(WorkerId(2));
    let ready =
        |bench: &Bench| bench.supervisor.workers().any(|known| known.state == WorkerState::Ready);
    assert!(!ready(&bench), "one of two");
    bench.feed(Input::Accepting { worker: WorkerId(2), listener: ListenerId(1) });
    assert!(ready(&bench));
}
