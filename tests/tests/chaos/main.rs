//! Chaos: faults by a seed against a cluster under load, whose every answer and message is checked.
//!
//! `CHAOS_SEED=n` replays a plan (the machine's timing it cannot), `CHAOS_SECONDS=n` makes it longer. A run
//! prints its seed and every fault, then figures; on failure also what the cluster said.

mod crowd;
mod faults;
mod figures;
mod load;
mod plan;
mod verdict;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use cluster_tests::{
    Running, Signal, client::Tally, deploy::Deployed, eventually, fixture, monotonic_ms, setting,
};

use self::{
    faults::Victim,
    figures::Figures,
    load::{Count, Load},
    plan::Plan,
};

/// How long faults go on in `cargo test`.
const SECONDS: u64 = 15;
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

fn start(plan: &Plan, deployed: &Deployed) -> Running {
    let workers = plan.workers.to_string();
    let variables = [
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
    Running::start("sh", &["-c", &script, program], &variables)
}

#[test]
fn once_faults_stop_all_is_served_and_nothing_was_lost() {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    let plan = Plan::of(setting("CHAOS_SEED", now.as_secs() % 100_000));
    let time = Duration::from_secs(setting("CHAOS_SECONDS", SECONDS));
    println!("CHAOS_SEED={} for {time:?}: {} workers, {}", plan.seed, plan.workers, plan.schedule);
    let deployed = Deployed::new(fixture!("turmoil"), "v0", "serve");
    let mut program = start(&plan, &deployed);
    let tally = {
        let _last_words = LastWords(&program);
        run(&plan, time, &program, &deployed)
    };
    program.signal(Signal::TERM);
    let code = program.exit_code();
    let _last_words = LastWords(&program);
    assert_eq!(code, 0);
    verdict::nothing_was_lost(&program, &tally);
}

/// All faults in their time, and what has to be true afterwards; what became of the requests.
fn run(plan: &Plan, time: Duration, program: &Running, deployed: &Deployed) -> Tally {
    let (address, slots, count) = (program.address(), plan.workers, Arc::<Count>::default());
    verdict::all_slots_serve(address, slots, "v0", &count);
    verdict::tree_is_whole(program, slots);
    let descriptors = eventually("descriptors that stay", || {
        let before = verdict::descriptors(program);
        std::thread::sleep(Duration::from_millis(300));
        (before == verdict::descriptors(program)).then_some(before)
    });
    let load = Load::start(plan.seed, address, CLIENTS, &count);
    let mut victim = Victim::new(program, deployed, &count);
    let (begun, zero, mut figures) = (Instant::now(), monotonic_ms(), Figures::new());
    for (pause, fault) in plan.clone() {
        victim.pause(pause);
        if begun.elapsed() > time {
            break;
        }
        println!("{:8.0} ms: {fault:?}", monotonic_ms() - zero);
        victim.suffer(fault);
        figures.look(program);
    }
    victim.relieve();
    println!("{:8.0} ms: no more faults; {:?}", monotonic_ms() - zero, count.so_far());
    program.order(&format!("scale {slots}"));
    let version = victim.deploy_good();
    eventually("a reload that goes well", || {
        let outcome = program.order("reload");
        println!("{:8.0} ms: reload: {outcome}", monotonic_ms() - zero);
        outcome.starts_with("ok").then_some(())
    });
    verdict::all_slots_serve(address, slots, &version, &count);
    verdict::tree_is_whole(program, slots);
    victim.wait_for_clients();
    load.stop();
    println!("{:8.0} ms: all is served again", monotonic_ms() - zero);
    verdict::descriptors_are(program, &descriptors, plan);
    verdict::tree_is_whole(program, slots);
    figures.judge();
    count.so_far()
}
