//! Ends every server if this program is told to end: theirs are groups that a Ctrl-C does not reach.
//!
//! What goes out of scope in the usual way ends its server itself.

use std::{
    collections::BTreeSet,
    process::{Command, exit},
    sync::{Mutex, PoisonError},
    thread,
};

use cluster_tests::{Running, Signal};
use rustix::process::{Pid, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};

static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Starts a server, in a group of its own.
pub(crate) fn start(command: Command) -> Running {
    // Kept meanwhile, so that none is missed that is just being started.
    let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    let running = Running::start_command(command);
    groups.insert(running.pid());
    running
}

/// It has ended, or is about to.
pub(crate) fn remove(group: i32) {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner).remove(&group);
}

/// From now on INT, TERM and HUP end the servers and then this program.
pub(crate) fn end_all_at_a_signal() {
    thread::spawn(|| {
        crate::clients::runtime().block_on(async {
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            let [mut int, mut term, mut hup] = kinds.map(|kind| signal(kind).expect("a handler"));
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
                _ = hup.recv() => {}
            }
        });
        // Kept: nothing can start between this and the end.
        let groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        for &group in groups.iter() {
            // Fails only if it has ended meanwhile.
            let _ = Pid::from_raw(group).map(|group| kill_process_group(group, Signal::KILL));
        }
        exit(130);
    });
}
