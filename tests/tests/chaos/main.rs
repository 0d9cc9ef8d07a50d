//! Chaos: faults by a seed against a cluster under load, whose every answer and message is checked.
//!
//! `CHAOS_SEED=n` replays a plan (the machine's timing it cannot), `CHAOS_SECONDS=n` makes it longer. A run
//! prints its seed and every fault, then figures; on failure also what the cluster said.

mod crowd;
mod faults;
mod figures;
mod load;
mod losses;
mod plan;
mod verdict;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use cluster_tests::{
    Running, Signal,
    deploy::Deployed,
    eventually, fixture, monotonic_ms,
    receipts::{self, Receipts},
    setting,
};

use self::{
    faults::Victim,
    figures::Figures,
    load::{Count, Load},
    plan::Plan,
};

/// How long faults go on in `cargo test`.
const SECONDS: u64 = 15;
/// How long faults go on before a stop in their midst.
const STOP_AFTER: Duration = Duration::from_secs(5);
const CLIENTS: u64 = 6;
/// So low that a worker that takes all descriptors is quick at it.
const DESCRIPTORS: usize = 512;

/// Says what the cluster said when a test fails.
struct LastWords<'a>(&'a Running);

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.0.output();
            let from = output.len().saturating_sub(400);
            println!("{}", output[from..].join("\n"));
        }
    }
}

/// Starts a cluster, and what counts with it.
fn start(plan: &Plan, deployed: &Deployed) -> (Running, Arc<Count>) {
    let workers = plan.workers.to_string();
    let receipts = deployed.path().with_file_name("receipts");
    let count = Count::new(Receipts::open(&receipts).expect("a file"));
    let variables = [
        (receipts::VARIABLE, receipts.to_str().expect("an ASCII path")),
        ("CLUSTER_WORKERS", workers.as_str()),
        ("CLUSTER_SCHEDULE", plan.schedule),
        ("CLUSTER_GRACE", "3s"),
        ("CLUSTER_START_TIMEOUT", "3s"),
        ("CLUSTER_HANG_TIMEOUT", "1s"),
        ("CLUSTER_RECYCLE_RSS", "80MiB"),
        // All workers may die again and again before one is ready.
        ("CLUSTER_GIVE_UP", "1000"),
    ];
    let script = format!("ulimit -n {DESCRIPTORS} && exec \"$0\"");
    let program = deployed.path();
    let program = program.to_str().expect("an ASCII path");
    (Running::start("sh", &["-c", &script, program], &variables), Arc::new(count))
}

/// The plan of this run.
fn plan() -> Plan {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    let plan = Plan::of(setting("CHAOS_SEED", now.as_secs() % 100_000));
    println!("CHAOS_SEED={}: {} workers, {}", plan.seed, plan.workers, plan.schedule);
    plan
}

#[test]
fn once_faults_stop_all_is_served_and_nothing_was_lost() {
    let (plan, time) = (plan(), Duration::from_secs(setting("CHAOS_SECONDS", SECONDS)));
    let deployed = Deployed::new(fixture!("turmoil"), "v0", "serve");
    let (mut program, count) = start(&plan, &deployed);
    {
        let _last_words = LastWords(&program);
        run(&plan, time, &program, &deployed, &count);
    }
    program.signal(Signal::TERM);
    let code = program.exit_code();
    let _last_words = LastWords(&program);
    assert_eq!(code, 0);
    assert_eq!(count.so_far().refused, 0);
    verdict::nothing_was_lost(&program, &count);
}

/// Whatever state the faults have left it in.
#[test]
fn a_stop_in_the_midst_of_faults_answers_or_refuses_and_ends() {
    let plan = plan();
    let deployed = Deployed::new(fixture!("turmoil"), "v0", "serve");
    let (mut program, count) = start(&plan, &deployed);
    let address = program.address();
    verdict::all_slots_serve(address, plan.workers, "v0", &count);
    let load = Load::start(plan.seed, address, CLIENTS, &count);
    let mut victim = Victim::new(&program, &deployed, &count);
    suffer(&mut victim, &plan, STOP_AFTER, |_| {});
    let asked = Instant::now();
    program.signal(Signal::TERM);
    victim.wait_for_clients();
    let code = program.exit_code();
    println!("the end came after {:?}", asked.elapsed());
    load.stop();
    let _last_words = LastWords(&program);
    assert_eq!(code, 0);
    verdict::nothing_was_lost(&program, &count);
}

/// Faults by the plan for this long, then the end of all that do not end by themselves.
fn suffer(victim: &mut Victim<'_>, plan: &Plan, time: Duration, mut look: impl FnMut(&Running)) {
    let (begun, zero) = (Instant::now(), monotonic_ms());
    for (pause, fault) in plan.clone() {
        victim.pause(pause);
        if begun.elapsed() > time {
            break;
        }
        println!("{:8.0} ms: {fault:?}", monotonic_ms() - zero);
        victim.suffer(fault);
        look(victim.program);
    }
    victim.relieve();
    println!("{:8.0} ms: no more faults; {:?}", monotonic_ms() - zero, victim.count.so_far());
}

/// All faults in their time, and what has to be true afterwards.
fn run(plan: &Plan, time: Duration, program: &Running, deployed: &Deployed, count: &Arc<Count>) {
    let (address, slots) = (program.address(), plan.workers);
    verdict::all_slots_serve(address, slots, "v0", count);
    verdict::tree_is_whole(program, slots);
    let descriptors = eventually("descriptors that stay", || {
        let before = verdict::descriptors(program);
        std::thread::sleep(Duration::from_millis(300));
        (before == verdict::descriptors(program)).then_some(before)
    });
    let load = Load::start(plan.seed, address, CLIENTS, count);
    let (mut victim, mut figures) = (Victim::new(program, deployed, count), Figures::new());
    suffer(&mut victim, plan, time, |program| figures.look(program));
    let relieved = Instant::now();
    program.order(&format!("scale {slots}"));
    let version = victim.deploy_good();
    eventually("a reload that goes well", || {
        let outcome = program.order("reload");
        println!("reload: {outcome}");
        outcome.starts_with("ok").then_some(())
    });
    verdict::all_slots_serve(address, slots, &version, count);
    verdict::tree_is_whole(program, slots);
    println!("all is served again after {:?}", relieved.elapsed());
    victim.wait_for_clients();
    load.stop();
    verdict::descriptors_are(program, &descriptors, plan);
    verdict::tree_is_whole(program, slots);
    figures.judge();
}
