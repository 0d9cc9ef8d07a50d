//! The order of a worker's events, over many random deaths.

use cluster_tests::{
    Running, Signal, events::assert_in_order, eventually, fixture, monotonic_ms, send_signal,
    setting,
};

// By CLUSTER_TEST_KILLS this becomes the thousand.
#[test]
fn they_come_in_the_documented_order_whenever_a_worker_is_killed() {
    let kills = setting("CLUSTER_TEST_KILLS", 150);
    let seed = setting("CLUSTER_TEST_SEED", monotonic_ms() as u64);
    println!("seed {seed}");
    let mut random = seed | 1;
    let mut below = |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 16) % bound
    };
    let program = Running::start(fixture!("steered"), &[], &[("CLUSTER_WORKERS", "3")]);
    program.wait_for_workers(3);
    let signals = [Signal::KILL, Signal::KILL, Signal::TERM, Signal::USR2];
    for _ in 0..kills {
        // At any point of its life, so there may be none at the moment.
        let workers = eventually("somebody to kill", || {
            Some(program.workers()).filter(|workers| !workers.is_empty())
        });
        let victim = &workers[below(workers.len() as u64) as usize];
        send_signal(victim.pid, signals[below(signals.len() as u64) as usize]);
        std::thread::sleep(std::time::Duration::from_micros(below(20_000)));
    }
    program.wait_for_workers(3);
    assert!(assert_in_order(&program.output()) > 3, "{:#?}", program.output());
    program.stop();
}
