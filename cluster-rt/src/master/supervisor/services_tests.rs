//! The supervisor's rules for several services: order, isolation, numbers.

use std::time::Duration;

use super::{
    Action, Done, Input, OrderId,
    tests::{Bench, code, end, signal},
};
use crate::{
    config::{Config, Respawn, ServiceConfig},
    event::{Event, WorkerState},
    id::WorkerId,
};

const WEB: usize = 0;
const JOBS: usize = 1;

/// `web` with two workers in slots 0 and 1, `jobs` with two in 2 and 3.
fn two(change: impl FnOnce(&mut [ServiceConfig])) -> Bench {
    let rules = Config { respawn: Respawn::Always, ..Config::default() };
    let of = |name| ServiceConfig { name: Some(name), ..ServiceConfig::only(rules.clone(), 2) };
    let mut services = ["web", "jobs"].map(of);
    change(&mut services);
    Bench::of(services.to_vec(), rules)
}

fn serving(change: impl FnOnce(&mut [ServiceConfig])) -> Bench {
    let mut bench = two(change);
    for slot in [2, 0, 1, 3] {
        let worker = bench.last(slot);
        bench.serve(worker);
    }
    bench.done.clear();
    bench
}

impl Bench {
    fn fails(&mut self, slot: usize) -> Vec<Action> {
        let worker = self.sitting(slot);
        self.online(worker);
        self.exit(worker, code(1))
    }

    fn sitting(&self, slot: usize) -> WorkerId {
        let found =
            self.supervisor.workers().find(|k| k.slot == slot && self.supervisor.sits(k.worker));
        found.expect("somebody sits there").worker
    }

    /// The slots of those that were told to drain.
    fn drained(&self) -> Vec<usize> {
        let slot = |action: &Action| match action {
            Action::Emit(Event::Draining { slot, .. }) => Some(*slot),
            _ => None,
        };
        self.done.iter().filter_map(slot).collect()
    }
}

fn slots(spawns: &[(WorkerId, usize)]) -> Vec<usize> {
    spawns.iter().map(|&(_, slot)| slot).collect()
}

#[test]
fn the_first_of_each_service_starts_alone() {
    let mut bench = two(|_| {});
    assert_eq!(slots(&Bench::spawns(&bench.done)), [0, 2]);
    let jobs = bench.last(2);
    bench.serve(jobs);
    assert_eq!(slots(&Bench::spawns(&bench.done)), [0, 2, 3]);
    bench.online(WorkerId(1));
    let actions = bench.pass(Duration::from_secs(1));
    assert_eq!(slots(&Bench::spawns(&actions)), [1]);
}

#[test]
fn a_service_begins_when_the_one_before_it_is_up() {
    let mut bench = two(|services| services[WEB].after = vec![JOBS]);
    assert_eq!(slots(&Bench::spawns(&bench.done)), [2]);
    bench.pass(Duration::from_secs(4));
    assert_eq!(slots(&Bench::spawns(&bench.done)), [2]);
    let jobs = bench.last(2);
    bench.serve(jobs);
    let mut begun = slots(&Bench::spawns(&bench.done));
    begun.sort_unstable();
    assert_eq!(begun, [0, 2, 3]);
}

/// What it binds is yet to come.
#[test]
fn the_start_is_over_when_every_service_has_been_up() {
    let mut bench = two(|services| services[WEB].after = vec![JOBS]);
    bench.serve(bench.last(2));
    bench.serve(bench.last(3));
    bench.pass(Duration::from_secs(5));
    assert!(bench.done.contains(&Action::OpenDispatch));
    assert!(!bench.supervisor.has_started());
    bench.serve(bench.last(0));
    assert!(bench.supervisor.has_started());
}

#[test]
fn a_service_that_nobody_waits_for_any_more_lets_the_others_begin() {
    let mut bench = two(|services| {
        services[WEB].after = vec![JOBS];
        services[JOBS].optional = true;
        services[JOBS].rules.give_up = 1;
    });
    bench.fails(2);
    assert_eq!(slots(&Bench::spawns(&bench.done)), [2, 0]);
}

#[test]
fn giving_up_ends_the_cluster_or_the_service_alone() {
    for optional in [false, true] {
        let mut bench = two(|services| services[JOBS].optional = optional);
        bench.serve(WorkerId(1));
        bench.serve(bench.last(1));
        for _ in 0..5 {
            bench.fails(2);
            bench.pass(Duration::from_secs(1));
        }
        let gave_up = Event::GaveUp { failed_starts: 5, service: Some("jobs") };
        assert!(bench.done.contains(&Action::Emit(gave_up)));
        assert_eq!(bench.supervisor.is_stopping(), !optional);
        if optional {
            bench.done.clear();
            bench.pass(Duration::from_secs(60));
            assert_eq!(Bench::spawns(&bench.done), [], "it is left alone");
            bench.exit(WorkerId(1), signal(9));
            assert_eq!(slots(&Bench::spawns(&bench.done)), [0], "the other is not");
        }
    }
}

#[test]
fn a_reload_tries_again_who_gave_up() {
    let mut bench = two(|services| {
        services[JOBS].optional = true;
        services[JOBS].rules.give_up = 1;
    });
    bench.serve(WorkerId(1));
    bench.serve(bench.last(1));
    bench.fails(2);
    bench.feed(Input::Reload { order: OrderId(1) });
    bench.feed(Input::ZygoteUp { generation: 2 });
    for slot in [0, 1] {
        let (before, newcomer) = (bench.sitting(slot), bench.last(slot));
        bench.serve(newcomer);
        bench.pass(Duration::from_secs(1));
        bench.exit(before, code(0));
    }
    let spawned = |slot| {
        let of =
            |a: &&Action| matches!(a, Action::Spawn { slot: s, generation: 2, .. } if *s == slot);
        bench.done.iter().filter(of).count()
    };
    assert_eq!((spawned(2), spawned(3)), (1, 1));
}

#[test]
fn how_often_one_fails_is_nothing_to_the_other() {
    let mut bench = two(|_| {});
    for slot in [0, 2, 0, 2, 0, 2, 0, 2] {
        bench.fails(slot);
        bench.pass(Duration::from_secs(1));
    }
    assert!(!bench.supervisor.is_stopping(), "four of each are not five");
    bench.fails(0);
    assert!(bench.supervisor.is_stopping());
}

#[test]
fn one_that_finishes_leaves_the_others() {
    let mut bench = two(|services| services[JOBS].rules.respawn = Respawn::Never);
    bench.serve(WorkerId(1));
    bench.online(bench.last(2));
    let actions = bench.exit(bench.last(2), code(0));
    assert_eq!(slots(&Bench::spawns(&actions)), [3], "the next of its workers has its turn");
    bench.online(bench.last(3));
    bench.exit(bench.last(3), code(0));
    bench.pass(Duration::from_secs(60));
    assert!(!bench.supervisor.is_stopping());
}

#[test]
fn at_a_stop_a_service_waits_for_those_that_began_after_it() {
    let mut bench = serving(|services| services[WEB].after = vec![JOBS]);
    let jobs = [bench.sitting(2), bench.sitting(3)];
    let web = [bench.sitting(0), bench.sitting(1)];
    bench.feed(Input::Stop { code: 0 });
    bench.feed(Input::ListenersClosed);
    assert_eq!(bench.drained(), [0, 1]);
    bench.exit(web[0], code(0));
    assert_eq!(bench.drained(), [0, 1]);
    // The last does not end by itself: then it is killed at its grace, and the others have their own.
    let actions = bench.pass(Config::default().grace);
    assert!(actions.contains(&Action::Kill { worker: web[1] }));
    bench.exit(web[1], signal(9));
    assert_eq!(bench.drained(), [0, 1, 2, 3]);
    let states: Vec<_> = bench.supervisor.workers().map(|known| known.state).collect();
    assert_eq!(states, [WorkerState::Draining; 2]);
    for worker in jobs {
        bench.exit(worker, code(0));
    }
    let actions = bench.feed(Input::ZygoteExited { generation: 1, reason: String::new() });
    assert_eq!(end(&actions), Some(0));
}

#[test]
fn each_has_its_own_grace() {
    let mut bench = serving(|services| services[JOBS].rules.grace = Duration::from_secs(1));
    bench.feed(Input::Stop { code: 0 });
    bench.feed(Input::ListenersClosed);
    let actions = bench.pass(Duration::from_secs(1));
    let killed: Vec<_> = actions.iter().filter(|a| matches!(a, Action::Kill { .. })).collect();
    let jobs = [2, 3].map(|slot| Action::Kill { worker: bench.sitting(slot) });
    assert_eq!(killed, jobs.iter().collect::<Vec<_>>());
}

#[test]
fn a_number_that_is_free_may_become_anothers() {
    let mut bench = serving(|_| {});
    let scale = |bench: &mut Bench, order, service: &str, target| {
        let service = Some(service.to_owned());
        bench.feed(Input::Scale { order: OrderId(order), service, target })
    };
    let leaver = bench.sitting(1);
    scale(&mut bench, 1, "web", 1);
    let actions = scale(&mut bench, 2, "jobs", 3);
    assert_eq!(slots(&Bench::spawns(&actions)), [1]);
    let newcomer = bench.last(1);
    bench.serve(newcomer);
    let scaled = |order, from, to| {
        let outcome = Ok(Done::Scaled { from, to });
        Action::Answer { order: OrderId(order), outcome }
    };
    assert!(bench.done.contains(&scaled(2, 2, 3)));
    assert!(!bench.done.contains(&scaled(1, 2, 1)), "its worker still drains");
    bench.exit(leaver, code(0));
    assert!(bench.done.contains(&scaled(1, 2, 1)));
    assert_eq!(bench.sitting(1), newcomer);
}

#[test]
fn a_reload_tries_one_newcomer_of_each_service_first() {
    let mut bench = serving(|_| {});
    let old: Vec<_> = (0..4).map(|slot| bench.sitting(slot)).collect();
    bench.feed(Input::Reload { order: OrderId(1) });
    bench.feed(Input::ZygoteUp { generation: 2 });
    for slot in [0, 2, 1, 3] {
        assert_eq!(slots(&Bench::spawns(&bench.done)).last(), Some(&slot));
        let newcomer = bench.last(slot);
        bench.serve(newcomer);
        bench.pass(Duration::from_secs(1));
        bench.exit(old[slot], code(0));
    }
    let outcome = Ok(Done::Reloaded { generation: 2 });
    assert!(bench.done.contains(&Action::Answer { order: OrderId(1), outcome }));
}

#[test]
fn keys_of_a_service_move_when_it_is_scaled_and_at_no_other_time() {
    let mut bench = serving(|_| {});
    let scale = |bench: &mut Bench, service: &str, target| {
        let service = Some(service.to_owned());
        bench.feed(Input::Scale { order: OrderId(1), service, target })
    };
    let shares = |bench: &Bench| -> Vec<(Vec<usize>, u64)> {
        bench.supervisor.splits().into_iter().map(|split| (split.slots, split.version)).collect()
    };
    assert_eq!(shares(&bench), [(vec![0, 1], 0), (vec![2, 3], 0)]);
    let resharded = Action::Emit(Event::Resharded { service: Some("web"), from: 2, to: 1 });
    assert!(scale(&mut bench, "web", 1).contains(&resharded));
    assert_eq!(shares(&bench), [(vec![0], 1), (vec![2, 3], 0)]);
    // The number below those of its service is the newcomer's, and its share the last all the same.
    scale(&mut bench, "jobs", 3);
    let newcomer = bench.last(1);
    bench.serve(newcomer);
    assert_eq!(shares(&bench), [(vec![0], 1), (vec![2, 3, 1], 1)]);
    bench.done.clear();
    scale(&mut bench, "jobs", 2);
    assert_eq!(bench.drained(), [1], "who came last goes first");
    assert_eq!(shares(&bench), [(vec![0], 1), (vec![2, 3], 2)]);
}
