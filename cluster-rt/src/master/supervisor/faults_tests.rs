//! The supervisor's rules where two things happen at once, or the same fault again and again.

use std::time::Duration;

use super::{
    Action, Done, Input, Known, OrderId, Signs,
    tests::{Bench, cause, code, delay, end, signal},
};
use crate::{
    config::{Config, Recycle, Respawn, ServiceConfig},
    event::{Event, ExitCause},
    id::WorkerId,
};

const ORDER: OrderId = OrderId(7);

impl Bench {
    fn did(&self, action: &Action) -> bool {
        self.done.contains(action)
    }
}

#[test]
fn a_newcomer_on_trial_takes_the_last_seat_of_its_service_though_it_is_empty_by_then() {
    for respawn in [Respawn::Never, Respawn::OnFailure] {
        let mut bench = Bench::new(1, |rules| rules.respawn = respawn);
        bench.serve_all(1);
        bench.feed(Input::Reload { order: ORDER });
        bench.feed(Input::ZygoteUp { generation: 2 });
        let newcomer = bench.last(0);
        bench.serve(newcomer);
        bench.pass(Duration::from_millis(500));
        bench.exit(WorkerId(1), code(0));
        assert!(!bench.did(&Action::Promote { worker: newcomer }), "{respawn:?}: before its time");
        bench.pass(Duration::from_millis(500));
        assert!(bench.did(&Action::Promote { worker: newcomer }), "{respawn:?}");
        let outcome = Ok(Done::Reloaded { generation: 2 });
        assert!(bench.did(&Action::Answer { order: ORDER, outcome }), "{respawn:?}");
    }
}

// As systemd does, and Ctrl-C.
#[test]
fn a_term_to_every_process_is_as_good_as_one_to_the_master() {
    let delay = Duration::from_secs(5);
    let mut bench = Bench::new(2, |rules| {
        (rules.respawn, rules.stop_delay) = (Respawn::Never, delay);
    });
    bench.serve_all(2);
    bench.feed(Input::Stop { code: 0 });
    for worker in [1, 2] {
        bench.feed(Input::StopAsked { worker: WorkerId(worker) });
    }
    assert_eq!(bench.pass(delay - Duration::from_millis(1)), [], "they serve while it lasts");
    assert!(bench.pass(Duration::from_millis(1)).contains(&Action::CloseListeners));
    bench.feed(Input::ListenersClosed);
    for worker in [1, 2] {
        assert!(bench.did(&Action::Drain { worker: WorkerId(worker) }));
    }
}

#[test]
fn a_term_to_every_process_keeps_the_order_of_services() {
    let rules = Config { respawn: Respawn::Always, ..Config::default() };
    let of = |name| ServiceConfig { name: Some(name), ..ServiceConfig::only(rules.clone(), 1) };
    let mut services = ["web", "jobs"].map(of);
    services[0].after = vec![1];
    let mut bench = Bench::of(services.to_vec(), rules);
    let jobs = bench.last(1);
    bench.serve(jobs);
    let web = bench.last(0);
    bench.serve(web);
    bench.feed(Input::StopAsked { worker: jobs });
    bench.feed(Input::StopAsked { worker: web });
    bench.feed(Input::Stop { code: 0 });
    bench.feed(Input::ListenersClosed);
    bench.pass(Duration::from_secs(1));
    assert!(bench.did(&Action::Drain { worker: web }));
    assert!(!bench.did(&Action::Drain { worker: jobs }), "web may still need it");
    bench.exit(web, code(0));
    assert!(bench.did(&Action::Drain { worker: jobs }));
}

#[test]
fn a_slot_that_wears_out_again_and_again_keeps_no_other_from_its_turn() {
    let mut bench =
        Bench::new(3, |rules| rules.recycle = Recycle::new().connections(10).jitter(0.0));
    bench.serve_all(3);
    // Each worker is past its limit when the one that was replaced last has drained.
    let renewed = |bench: &mut Bench| {
        let sign = |known: Known| Signs {
            worker: known.worker,
            beat: 0,
            starved: Duration::ZERO,
            connections: 10,
            rss: 0,
        };
        let signs: Vec<Signs> = bench.supervisor.workers().map(sign).collect();
        bench.feed(Input::Looked { signs });
        let asked = bench.supervisor.workers().find(|known| known.pid.is_none());
        let Known { worker, slot, .. } = asked.expect("one is replaced");
        bench.serve(worker);
        let known: Vec<_> = bench.supervisor.workers().map(|known| known.worker).collect();
        let departed = known.into_iter().find(|&worker| bench.supervisor.is_departed(worker));
        bench.exit(departed.expect("one drains"), code(0));
        slot
    };
    let slots: Vec<usize> = (0..4).map(|_| renewed(&mut bench)).collect();
    assert_eq!(slots.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{slots:?}");
}

#[test]
fn an_empty_slot_that_is_filled_by_order_after_a_reload_has_the_new_code() {
    let mut bench = Bench::new(2, |rules| rules.respawn = Respawn::OnFailure);
    bench.serve_all(2);
    bench.exit(WorkerId(2), code(0));
    bench.feed(Input::Reload { order: ORDER });
    bench.feed(Input::ZygoteUp { generation: 2 });
    let newcomer = bench.last(0);
    bench.serve(newcomer);
    bench.pass(Duration::from_secs(1));
    assert!(bench.did(&Action::KillZygote { generation: 1 }), "nobody needs it");
    bench.exit(WorkerId(1), code(0));
    let actions = bench.feed(Input::Respawn { order: OrderId(8), slot: 1 });
    assert!(matches!(actions[..], [Action::Spawn { slot: 1, generation: 2, .. }]), "{actions:?}");
}

// As one does whose fork handlers crash, or that is the largest process when memory is short.
#[test]
fn a_zygote_that_ends_at_each_spawn_is_given_up() {
    let ends = |bench: &mut Bench, generation| {
        bench.feed(Input::ZygoteExited { generation, reason: "SIGABRT".to_owned() });
        bench.pass(Duration::from_secs(2));
        bench.feed(Input::ZygoteUp { generation });
    };
    let mut bench = Bench::new(1, |_| {});
    (0..5).for_each(|_| ends(&mut bench, 1));
    assert_eq!(end(&bench.done), Some(70));

    let mut bench = Bench::new(1, |_| {});
    bench.serve_all(1);
    bench.feed(Input::Reload { order: ORDER });
    bench.feed(Input::ZygoteUp { generation: 2 });
    (0..5).for_each(|_| ends(&mut bench, 2));
    let outcome = Err("its zygote: SIGABRT".to_owned());
    assert!(bench.did(&Action::Answer { order: ORDER, outcome }), "the reload fails");
    let sits: Vec<_> = bench.supervisor.workers().map(|known| known.worker).collect();
    assert_eq!(sits, [WorkerId(1)]);
}

// As tokio does whose runtime waits for a task that blocks.
#[test]
fn a_worker_whose_main_has_ended_has_grace_to_end_too() {
    let mut bench = Bench::new(1, |_| {});
    bench.serve_all(1);
    bench.pass(Duration::from_secs(60));
    let worker = WorkerId(1);
    bench.feed(Input::MainEnded { worker, code: 1, panicked: false });
    let grace = Config::default().grace;
    assert_eq!(bench.pass(grace - Duration::from_millis(1)), []);
    // Said again just before its exit it gains nothing.
    bench.feed(Input::MainEnded { worker, code: 1, panicked: false });
    assert!(bench.pass(Duration::from_millis(1)).contains(&Action::Kill { worker }));
    let actions = bench.exit(worker, signal(9));
    assert_eq!(cause(&actions), Some(ExitCause::Crashed(1)));
    assert_eq!(Bench::spawns(&actions), [(WorkerId(2), 0)]);
}

#[test]
fn a_newcomer_whose_main_has_ended_does_not_stand_its_trial() {
    let mut bench = Bench::new(1, |_| {});
    bench.serve_all(1);
    bench.feed(Input::Reload { order: ORDER });
    bench.feed(Input::ZygoteUp { generation: 2 });
    let newcomer = bench.last(0);
    bench.serve(newcomer);
    bench.feed(Input::MainEnded { worker: newcomer, code: 1, panicked: false });
    bench.pass(Config::default().grace);
    assert!(!bench.did(&Action::Promote { worker: newcomer }));
    bench.exit(newcomer, signal(9));
    let failed = |action: &Action| matches!(action, Action::Answer { outcome: Err(_), .. });
    assert!(bench.done.iter().any(failed));
}

// As want of memory does, or a filter of system calls.
#[test]
fn kills_before_ready_are_followed_at_once_three_times_and_then_not_so_fast() {
    let mut bench = Bench::new(1, |_| {});
    let mut delays = Vec::new();
    for worker in 1..=12 {
        let actions = bench.exit(WorkerId(worker), signal(9));
        let delay = delay(&actions).expect("it is followed by another, and never given up");
        delays.push(Duration::from_millis(delay.try_into().expect("short")));
        bench.pass(delays[delays.len() - 1]);
    }
    assert_eq!(delays[..3], [Duration::ZERO; 3]);
    assert!(delays[3..].is_sorted() && !delays[3].is_zero(), "{delays:?}");
}

// As one does that binds a second address when it serves the first.
#[test]
fn errors_of_main_soon_after_it_is_ready_are_given_up_and_crashes_are_not() {
    let gave_up = Action::Emit(Event::GaveUp { failed_starts: 5, service: None });
    for panicked in [false, true] {
        let mut bench = Bench::new(1, |_| {});
        for worker in (1..=5).map(WorkerId) {
            bench.serve(worker);
            bench.feed(Input::MainEnded { worker, code: 1, panicked });
            bench.exit(worker, code(1));
            assert_eq!(bench.did(&gave_up), !panicked && worker == WorkerId(5), "{worker}");
            bench.pass(Duration::from_secs(2));
        }
    }
}

#[test]
fn a_worker_that_lives_a_second_makes_failed_starts_forgotten() {
    let mut bench = Bench::new(1, |_| {});
    for worker in (1..=12).map(WorkerId) {
        bench.serve(worker);
        if worker.0 % 4 == 0 {
            bench.pass(Duration::from_secs(1));
        }
        bench.feed(Input::MainEnded { worker, code: 1, panicked: false });
        let actions = bench.exit(worker, code(1));
        bench.pass(Duration::from_millis(delay(&actions).unwrap_or(0).try_into().expect("short")));
        assert_eq!(bench.last(0).as_u64(), worker.as_u64() + 1, "it is followed by another");
    }
}

#[test]
fn a_reload_that_gets_no_process_fails_when_a_newcomer_would_have() {
    let mut bench = Bench::new(1, |_| {});
    bench.serve_all(1);
    bench.feed(Input::Reload { order: ORDER });
    bench.feed(Input::ZygoteUp { generation: 2 });
    let timeout = Config::default().start_timeout;
    let mut waited = Duration::ZERO;
    let failed = |action: &Action| matches!(action, Action::Answer { outcome: Err(_), .. });
    while !bench.done.iter().any(failed) {
        assert!(waited < timeout + Duration::from_secs(5), "it waits for ever");
        let worker = bench.last(0);
        bench.feed(Input::SpawnFailed { worker, errno: 11 });
        bench.pass(Duration::from_secs(1));
        waited += Duration::from_secs(1);
    }
    assert!(waited >= timeout, "{waited:?}: it may get better");
    let sits: Vec<_> = bench.supervisor.workers().map(|known| known.worker).collect();
    assert_eq!(sits, [WorkerId(1)]);
}

#[test]
fn a_worker_that_asks_for_another_in_its_place_is_replaced_ready_first() {
    let mut bench = Bench::new(2, |_| {});
    bench.serve_all(2);
    let actions = bench.feed(Input::ReplaceAsked { worker: WorkerId(2) });
    assert_eq!(Bench::spawns(&actions), [(WorkerId(3), 1)]);
    assert!(!bench.did(&Action::Drain { worker: WorkerId(2) }), "before it is ready");
    // Of the one that is on its way the wish is kept until it sits.
    bench.feed(Input::ReplaceAsked { worker: WorkerId(3) });
    bench.serve(WorkerId(3));
    assert!(bench.did(&Action::Drain { worker: WorkerId(2) }));
    let actions = bench.exit(WorkerId(2), code(0));
    assert_eq!(cause(&actions), Some(ExitCause::Recycled));
    assert_eq!(Bench::spawns(&actions), [(WorkerId(4), 1)]);
}

#[test]
fn a_stop_is_told_once_and_before_its_delay() {
    let mut bench = Bench::new(1, |rules| rules.stop_delay = Duration::from_secs(5));
    bench.serve_all(1);
    for _ in 0..2 {
        bench.feed(Input::Stop { code: 0 });
    }
    let told = || bench.done.iter().filter(|action| **action == Action::Emit(Event::Stopping));
    assert_eq!(told().count(), 1);
    assert!(!bench.did(&Action::CloseListeners));
}
