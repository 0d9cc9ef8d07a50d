//! The supervisor's rules for what changes while it runs: reload, scale, replacement, hang, limits.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Action, Done, Input, OrderId, Outcome, Signs,
    tests::{Bench, LISTENER, cause, code, delay, signal},
};
use crate::{
    config::Recycle,
    event::{Event, ExitCause},
    id::WorkerId,
};

const ORDER: OrderId = OrderId(7);

impl Bench {
    fn serving(workers: usize) -> Self {
        let mut bench = Self::new(workers, |_| {});
        bench.serve_all(workers);
        bench
    }

    /// What came of `ORDER`, if it was answered; more than once is wrong.
    fn answer(&self) -> Option<Outcome> {
        let of = |action: &Action| match action {
            Action::Answer { order, outcome } if *order == ORDER => Some(outcome.clone()),
            _ => None,
        };
        let answers: Vec<Outcome> = self.done.iter().filter_map(of).collect();
        assert!(answers.len() <= 1, "answered once: {answers:?}");
        answers.into_iter().next()
    }

    fn generations(&self) -> Vec<u32> {
        self.supervisor.workers().map(|known| known.generation).collect()
    }

    fn begin_reload(&mut self) {
        let actions = self.feed(Input::Reload { order: ORDER });
        assert!(actions.contains(&Action::ExecZygote { generation: 2 }), "{actions:?}");
    }

    /// The newcomer in `slot`, which is ready from now on.
    fn newcomer(&mut self, slot: usize) -> WorkerId {
        let id = self.last(slot);
        self.serve(id);
        id
    }

    fn looked(&mut self, signs: &[(WorkerId, u64)]) -> Vec<Action> {
        let signs = signs.iter().map(|&(worker, beat)| Signs {
            worker,
            beat,
            starved: Duration::ZERO,
            connections: 0,
            rss: 0,
        });
        self.feed(Input::Looked { signs: signs.collect() })
    }
}

#[test]
fn a_reload_replaces_slot_by_slot_ready_first() {
    let mut bench = Bench::serving(3);
    bench.begin_reload();
    let actions = bench.feed(Input::ZygoteUp { generation: 2 });
    assert_eq!(actions, [Action::Spawn { worker: WorkerId(4), slot: 0, generation: 2 }]);
    // The first has to live a second, and gets no connections before it has.
    bench.newcomer(0);
    assert_eq!(
        bench.done.last(),
        Some(&Action::Emit(Event::Ready { worker: WorkerId(4), slot: 0, service: None }))
    );
    assert_eq!(bench.pass(Duration::from_millis(999)), []);
    let actions = bench.pass(Duration::from_millis(1));
    let at = |action| actions.iter().position(|a| *a == action).expect("done");
    assert!(
        at(Action::Admit { worker: WorkerId(4), listener: LISTENER })
            < at(Action::Drain { worker: WorkerId(1) })
    );
    assert_eq!(Bench::spawns(&actions), [], "one worker above the number");
    for slot in [1, 2] {
        let old = WorkerId(slot as u64);
        assert_eq!(cause(&bench.exit(old, code(0))), Some(ExitCause::Stopped));
        let newcomer = bench.newcomer(slot);
        assert!(bench.done.contains(&Action::Promote { worker: newcomer }));
    }
    assert_eq!(bench.answer(), Some(Ok(Done::Reloaded { generation: 2 })));
    assert!(bench.done.contains(&Action::KillZygote { generation: 1 }));
    bench.exit(WorkerId(3), code(0));
    assert_eq!(bench.generations(), [2, 2, 2]);
    // A respawn comes from the new generation.
    bench.exit(WorkerId(5), signal(9));
    assert_eq!(bench.generations(), [2, 2, 2]);
}

#[test]
fn a_newcomer_that_fails_at_the_first_slot_changes_nothing() {
    let mut bench = Bench::serving(2);
    bench.begin_reload();
    bench.feed(Input::ZygoteUp { generation: 2 });
    let newcomer = bench.last(0);
    bench.online(newcomer);
    bench.exit(newcomer, code(1));
    let why = bench.answer().expect("answered").expect_err("failed");
    assert!(why.contains("slot 0") && why.contains("code 1"), "{why}");
    assert!(!bench.done.iter().any(|action| matches!(action, Action::Drain { .. })));
    assert!(bench.done.contains(&Action::KillZygote { generation: 2 }));
    assert_eq!(bench.generations(), [1, 1]);
}

#[test]
fn one_that_dies_within_a_second_of_ready_fails_too() {
    let mut bench = Bench::serving(2);
    bench.begin_reload();
    bench.feed(Input::ZygoteUp { generation: 2 });
    let newcomer = bench.newcomer(0);
    bench.pass(Duration::from_millis(900));
    bench.exit(newcomer, signal(11));
    assert!(bench.answer().expect("answered").is_err());
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.generations(), [1, 1]);
}

#[test]
fn a_failure_at_the_third_slot_puts_the_first_two_back_replacement_first() {
    let mut bench = Bench::serving(3);
    bench.begin_reload();
    bench.feed(Input::ZygoteUp { generation: 2 });
    bench.newcomer(0);
    bench.pass(Duration::from_secs(1));
    bench.exit(WorkerId(1), code(0));
    bench.newcomer(1);
    bench.exit(WorkerId(2), code(0));
    let third = bench.last(2);
    bench.online(third);
    bench.exit(third, code(1));
    assert_eq!(bench.answer(), None, "not before everything is back");
    for slot in [0, 1] {
        let back = bench.newcomer(slot);
        assert!(bench.done.contains(&Action::Promote { worker: back }));
        let drained: Vec<WorkerId> = drained(&bench.done);
        bench.exit(*drained.last().expect("the newcomer drains"), code(0));
    }
    assert!(bench.answer().expect("answered").is_err());
    assert_eq!(bench.generations(), [1, 1, 1]);
}

fn drained(actions: &[Action]) -> Vec<WorkerId> {
    let drained = actions.iter().filter_map(|action| match action {
        Action::Drain { worker } => Some(*worker),
        _ => None,
    });
    drained.collect()
}

#[test]
fn a_zygote_that_cannot_be_ends_the_reload() {
    let mut bench = Bench::serving(1);
    bench.begin_reload();
    let reason = "exec: EACCES".to_owned();
    let actions = bench.feed(Input::ZygoteExited { generation: 2, reason });
    assert!(actions.contains(&Action::DropImage { generation: 2 }));
    let why = bench.answer().expect("answered").expect_err("failed");
    assert!(why.contains("EACCES"), "{why}");
    // The next one has another number.
    let actions = bench.feed(Input::Reload { order: OrderId(8) });
    assert!(actions.contains(&Action::ExecZygote { generation: 3 }));
}

#[test]
fn a_zygote_that_says_nothing_ends_the_reload() {
    let mut bench = Bench::serving(1);
    bench.begin_reload();
    let actions = bench.pass(Duration::from_secs(5));
    assert!(actions.contains(&Action::KillZygote { generation: 2 }));
    bench.feed(Input::ZygoteExited { generation: 2, reason: "SIGKILL".to_owned() });
    let why = bench.answer().expect("answered").expect_err("failed");
    assert!(why.contains("did not answer"), "{why}");
}

#[test]
fn a_slot_that_dies_during_a_reload_respawns_from_what_it_last_had() {
    let mut bench = Bench::serving(2);
    bench.begin_reload();
    bench.feed(Input::ZygoteUp { generation: 2 });
    bench.newcomer(0);
    let actions = bench.exit(WorkerId(2), signal(9));
    assert!(actions.contains(&Action::Spawn { worker: WorkerId(4), slot: 1, generation: 1 }));
    bench.pass(Duration::from_secs(1));
    bench.exit(WorkerId(1), code(0));
    // And the one that has it is replaced in its turn, ready or not.
    assert_eq!(Bench::spawns(&bench.done).last(), Some(&(WorkerId(5), 1)));
    bench.newcomer(1);
    assert_eq!(bench.answer(), Some(Ok(Done::Reloaded { generation: 2 })));
}

#[test]
fn reloads_asked_for_meanwhile_are_one_more() {
    let mut bench = Bench::serving(1);
    bench.begin_reload();
    for order in [8, 9, 10] {
        bench.feed(Input::Reload { order: OrderId(order) });
    }
    bench.feed(Input::ZygoteUp { generation: 2 });
    bench.newcomer(0);
    bench.pass(Duration::from_secs(1));
    bench.exit(WorkerId(1), code(0));
    bench.feed(Input::ZygoteUp { generation: 3 });
    bench.newcomer(0);
    bench.pass(Duration::from_secs(1));
    let answered: BTreeSet<OrderId> = bench
        .done
        .iter()
        .filter_map(|action| match action {
            Action::Answer { order, outcome: Ok(Done::Reloaded { generation: 3 }) } => Some(*order),
            _ => None,
        })
        .collect();
    assert_eq!(answered, [OrderId(8), OrderId(9), OrderId(10)].into());
    assert!(!bench.done.contains(&Action::ExecZygote { generation: 4 }));
}

#[test]
fn no_third_generation_drains() {
    let mut bench = Bench::new(3, |rules| rules.surplus = 8);
    bench.serve_all(3);
    for generation in [2, 3] {
        bench.feed(Input::Reload { order: OrderId(generation.into()) });
        bench.feed(Input::ZygoteUp { generation });
        for slot in 0..3 {
            bench.newcomer(slot);
            bench.pass(Duration::from_secs(u64::from(slot == 0)));
        }
    }
    // Generations 1 and 2 drain: the fourth waits until one of them has ended.
    let actions = bench.feed(Input::Reload { order: ORDER });
    assert!(!actions.contains(&Action::ExecZygote { generation: 4 }));
    for worker in 1..=3 {
        bench.exit(WorkerId(worker), code(0));
    }
    assert!(bench.done.contains(&Action::ExecZygote { generation: 4 }));
}

#[test]
fn a_stop_ends_a_reload_and_its_newcomer_at_once() {
    let mut bench = Bench::serving(2);
    bench.begin_reload();
    bench.feed(Input::ZygoteUp { generation: 2 });
    let newcomer = bench.newcomer(0);
    let actions = bench.feed(Input::Stop { code: 0 });
    assert!(actions.contains(&Action::Kill { worker: newcomer }));
    assert!(bench.answer().expect("answered").is_err());
    bench.exit(newcomer, signal(9));
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.generations(), [1, 1]);
}

#[test]
fn a_newcomer_has_to_accept_where_the_old_one_did_however_long_it_runs() {
    let mut bench = Bench::new(1, |rules| rules.start_timeout = Duration::from_secs(30));
    bench.serve_all(1);
    bench.begin_reload();
    bench.feed(Input::ZygoteUp { generation: 2 });
    let newcomer = bench.last(0);
    bench.online(newcomer);
    let actions = bench.pass(Duration::from_secs(29));
    assert!(!actions.contains(&Action::Emit(Event::Ready {
        worker: newcomer,
        slot: 0,
        service: None
    })));
    bench.pass(Duration::from_secs(1));
    bench.exit(newcomer, signal(9));
    let why = bench.answer().expect("answered").expect_err("failed");
    assert!(why.contains("start_timeout"), "{why}");
}

#[test]
fn scaling_adds_the_lowest_numbers_and_drains_the_highest() {
    let mut bench = Bench::serving(2);
    let actions = bench.feed(Input::Scale { order: ORDER, service: None, target: 4 });
    assert_eq!(Bench::spawns(&actions), [(WorkerId(3), 2), (WorkerId(4), 3)]);
    bench.newcomer(2);
    assert_eq!(bench.answer(), None);
    bench.newcomer(3);
    assert_eq!(bench.answer(), Some(Ok(Done::Scaled { from: 2, to: 4 })));

    bench.done.clear();
    let actions = bench.feed(Input::Scale { order: ORDER, service: None, target: 1 });
    assert_eq!(drained(&actions), [WorkerId(4), WorkerId(3), WorkerId(2)]);
    for worker in [2, 3, 4] {
        assert_eq!(bench.answer(), None);
        let actions = bench.exit(WorkerId(worker), code(0));
        assert_eq!((cause(&actions), delay(&actions)), (Some(ExitCause::Stopped), None));
    }
    assert_eq!(bench.answer(), Some(Ok(Done::Scaled { from: 4, to: 1 })));
}

#[test]
fn keys_belong_to_new_slots_when_all_of_them_serve_and_leave_others_at_once() {
    fn resharded(actions: &[Action]) -> Vec<(usize, usize)> {
        let resharded = |action: &Action| match action {
            Action::Emit(Event::Resharded { from, to, .. }) => Some((*from, *to)),
            _ => None,
        };
        actions.iter().filter_map(resharded).collect()
    }
    let mut bench = Bench::serving(2);
    bench.feed(Input::Scale { order: OrderId(1), service: None, target: 4 });
    bench.newcomer(3);
    // One that comes to be and dies does not serve.
    let failed = bench.last(2);
    bench.exit(failed, code(1));
    bench.pass(Duration::from_secs(1));
    assert_eq!(resharded(&bench.done), []);
    assert_eq!(bench.supervisor.splits()[0].slots, [0, 1]);
    bench.newcomer(2);
    assert_eq!(resharded(&bench.done), [(2, 4)]);
    let actions = bench.feed(Input::Scale { order: OrderId(2), service: None, target: 3 });
    assert_eq!(resharded(&actions), [(4, 3)], "while the worker of slot 3 still drains");
    // A respawn moves nothing.
    let killed = bench.last(0);
    bench.exit(killed, signal(9));
    bench.newcomer(0);
    assert_eq!(resharded(&bench.done).len(), 2);
    let split = &bench.supervisor.splits()[0];
    assert_eq!((&split.slots[..], split.version), (&[0, 1, 2][..], 2));
    // What never served is no owner, and no change.
    bench.feed(Input::Scale { order: OrderId(3), service: None, target: 5 });
    bench.feed(Input::Scale { order: OrderId(4), service: None, target: 3 });
    assert_eq!(resharded(&bench.done).len(), 2);
}

#[test]
fn a_slot_that_comes_back_before_its_worker_has_gone_gets_another() {
    let mut bench = Bench::serving(2);
    bench.feed(Input::Scale { order: OrderId(1), service: None, target: 1 });
    let actions = bench.feed(Input::Scale { order: ORDER, service: None, target: 2 });
    assert_eq!(Bench::spawns(&actions), [(WorkerId(3), 1)]);
    bench.newcomer(1);
    assert_eq!(bench.answer(), Some(Ok(Done::Scaled { from: 1, to: 2 })));
    assert_eq!(delay(&bench.exit(WorkerId(2), code(0))), None, "nobody's");
}

#[test]
fn scaling_says_what_failed_and_what_cannot_be() {
    let mut bench = Bench::serving(1);
    bench.feed(Input::Scale { order: ORDER, service: None, target: 2 });
    let newcomer = bench.last(1);
    bench.online(newcomer);
    bench.exit(newcomer, code(1));
    assert!(bench.answer().expect("answered").expect_err("failed").contains("slot 1"));
    for target in [0, 513] {
        bench.done.clear();
        bench.feed(Input::Scale { order: ORDER, service: None, target });
        assert!(bench.answer().expect("answered").is_err());
    }
}

#[test]
fn an_ordered_replacement_is_ready_first_and_costs_nothing_if_it_fails() {
    let mut bench = Bench::serving(2);
    let actions = bench.feed(Input::Respawn { order: ORDER, slot: 1 });
    assert_eq!(Bench::spawns(&actions), [(WorkerId(3), 1)]);
    bench.online(WorkerId(3));
    bench.exit(WorkerId(3), code(1));
    assert!(bench.answer().expect("answered").is_err());
    assert_eq!(drained(&bench.done), []);

    bench.done.clear();
    bench.feed(Input::Respawn { order: ORDER, slot: 1 });
    bench.newcomer(1);
    let done = Done::Replaced { slot: 1, before: Some(WorkerId(2)), worker: WorkerId(4) };
    assert_eq!(bench.answer(), Some(Ok(done)));
    assert_eq!(drained(&bench.done), [WorkerId(2)]);
}

#[test]
fn the_successor_of_a_worker_that_dies_meanwhile_takes_its_seat() {
    let mut bench = Bench::serving(1);
    bench.feed(Input::Respawn { order: ORDER, slot: 0 });
    let actions = bench.exit(WorkerId(1), signal(9));
    assert_eq!(Bench::spawns(&actions), [], "one is under way");
    bench.newcomer(0);
    assert!(bench.answer().expect("answered").is_ok());
    // And if it fails, the slot is respawned as ever.
    bench.feed(Input::Respawn { order: OrderId(8), slot: 0 });
    bench.exit(WorkerId(2), signal(9));
    let actions = bench.exit(WorkerId(3), signal(9));
    assert_eq!(delay(&actions), Some(0));
}

#[test]
fn a_worker_without_heartbeat_is_aborted_then_killed_then_replaced() {
    let mut bench = Bench::new(1, |rules| rules.hang_timeout = Some(Duration::from_secs(8)));
    bench.serve_all(1);
    let mut beat = 1;
    for _ in 0..20 {
        let actions = bench.pass(Duration::from_secs(1));
        assert_eq!(actions.iter().filter(|a| **a == Action::Look).count(), 1);
        beat += 1;
        assert_eq!(bench.looked(&[(WorkerId(1), beat)]), []);
    }
    let mut silent = 0;
    while !bench.done.contains(&Action::Abort { worker: WorkerId(1) }) {
        silent += 1;
        bench.pass(Duration::from_secs(1));
        bench.looked(&[(WorkerId(1), beat)]);
    }
    assert_eq!(silent, 8);
    let actions = bench.pass(Duration::from_secs(2));
    assert!(actions.contains(&Action::Kill { worker: WorkerId(1) }));
    let actions = bench.exit(WorkerId(1), signal(9));
    assert_eq!((cause(&actions), delay(&actions)), (Some(ExitCause::Hung), Some(0)));
}

#[test]
fn neither_a_suspended_machine_nor_a_starved_worker_hangs() {
    let mut bench = Bench::new(1, |rules| rules.hang_timeout = Some(Duration::from_secs(8)));
    bench.serve_all(1);
    bench.pass(Duration::from_secs(1));
    bench.looked(&[(WorkerId(1), 5)]);
    // An hour passes without the master having run: the look that follows covers two looks at most.
    bench.now += Duration::from_secs(3600);
    bench.feed(Input::Tick);
    bench.looked(&[(WorkerId(1), 5)]);
    assert!(!bench.done.contains(&Action::Abort { worker: WorkerId(1) }));
    // It wants a processor, and gets none: not for 4 times the time.
    bench.looked(&[(WorkerId(1), 6)]);
    for second in 1..=31 {
        bench.pass(Duration::from_secs(1));
        let starved = Duration::from_secs(second);
        let signs = Signs { worker: WorkerId(1), beat: 6, starved, connections: 0, rss: 0 };
        bench.feed(Input::Looked { signs: vec![signs] });
        assert!(!bench.done.contains(&Action::Abort { worker: WorkerId(1) }), "{second} s");
    }
}

#[test]
fn workers_past_a_limit_are_replaced_one_at_a_time_ready_first() {
    let recycle = Recycle::new().connections(100).jitter(0.0);
    let mut bench = Bench::new(2, |rules| rules.recycle = recycle);
    bench.serve_all(2);
    bench.pass(Duration::from_secs(1));
    let signs = |worker, connections| Signs {
        worker: WorkerId(worker),
        beat: 0,
        starved: Duration::ZERO,
        connections,
        rss: 0,
    };
    let actions = bench.feed(Input::Looked { signs: vec![signs(1, 100), signs(2, 150)] });
    assert_eq!(Bench::spawns(&actions), [(WorkerId(3), 0)], "one");
    bench.newcomer(0);
    assert_eq!(Bench::spawns(&bench.done).len(), 3, "the old one drains");
    assert_eq!(cause(&bench.exit(WorkerId(1), code(0))), Some(ExitCause::Recycled));
    assert_eq!(Bench::spawns(&bench.done).last(), Some(&(WorkerId(4), 1)));
}

#[test]
fn an_old_worker_is_replaced_in_its_time_and_not_during_a_reload() {
    let recycle = Recycle::new().age(Duration::from_secs(3600)).jitter(0.0);
    let mut bench = Bench::new(1, |rules| rules.recycle = recycle);
    bench.serve_all(1);
    assert_eq!(Bench::spawns(&bench.pass(Duration::from_secs(3599))), []);
    bench.begin_reload();
    assert_eq!(Bench::spawns(&bench.pass(Duration::from_secs(1))), []);
    bench.feed(Input::ZygoteUp { generation: 2 });
    bench.newcomer(0);
    bench.pass(Duration::from_secs(1));
    let actions = bench.exit(WorkerId(1), code(0));
    assert_eq!(cause(&actions), Some(ExitCause::Stopped), "the reload's doing");
    assert_eq!(Bench::spawns(&bench.pass(Duration::from_secs(3598))), []);
    assert_eq!(Bench::spawns(&bench.pass(Duration::from_secs(2))).len(), 1);
}

#[test]
fn many_crashes_by_signal_renew_the_zygote() {
    let mut bench = Bench::serving(1);
    for round in 0..5 {
        assert!(!bench.done.contains(&Action::KillZygote { generation: 1 }), "{round}");
        bench.pass(Duration::from_secs(2));
        let worker = bench.last(0);
        bench.exit(worker, signal(11));
        let next = bench.last(0);
        bench.serve(next);
    }
    assert!(bench.done.contains(&Action::KillZygote { generation: 1 }));
    let actions = bench.feed(Input::ZygoteExited { generation: 1, reason: "SIGKILL".to_owned() });
    assert!(actions.contains(&Action::ExecZygote { generation: 1 }));
}
