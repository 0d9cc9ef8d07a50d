//! What a long run costs the master: memory, descriptors, threads, children, looked at again and again.
//!
//! Says and compares; what must be exact after the faults is in `verdict`.

use std::time::{Duration, Instant};

use cluster_tests::{
    Running,
    proc::{self, Process},
};

/// How often is looked.
const LOOK: Duration = Duration::from_secs(5);
/// How often is said what was seen.
const SAY: Duration = Duration::from_secs(60);
/// A run that has so many looks is compared with itself.
const LOOKS_MIN: usize = 60;
/// By how much the most memory of the last quarter may be above that of the first, in KiB.
const GROWTH_MAX: u64 = 8 * 1024;

#[derive(Clone, Copy, Debug, Default)]
struct Look {
    memory: u64,
    descriptors: usize,
    zombies: usize,
}

/// Of one run.
#[derive(Debug)]
pub(super) struct Figures {
    begun: Instant,
    looks: Vec<Look>,
    said: Instant,
}

impl Figures {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { begun: now, looks: Vec::new(), said: now }
    }

    /// Looks, if it is time.
    pub(super) fn look(&mut self, program: &Running) {
        if self.begun.elapsed() < LOOK * self.looks.len() as u32 {
            return;
        }
        let Some(master) = Process::look(program.pid()) else { return };
        let memory = master.status("VmRSS").unwrap_or_default();
        self.looks.push(Look {
            memory: memory.trim_end_matches(" kB").parse().unwrap_or(0),
            descriptors: master.descriptors().len(),
            zombies: proc::children_of(master.pid).iter().filter(|p| p.state == 'Z').count(),
        });
        if self.said.elapsed() >= SAY {
            self.said = Instant::now();
            self.say("so far", &self.looks);
        }
    }

    /// Says the figures, and compares the end of a long run with its beginning.
    pub(super) fn judge(&self) {
        self.say("in all", &self.looks);
        let quarter = self.looks.len() / 4;
        if self.looks.len() < LOOKS_MIN {
            return;
        }
        let (first, last) = (&self.looks[..quarter], &self.looks[3 * quarter..]);
        self.say("first quarter", first);
        self.say("last quarter", last);
        let (first, last) = (most(first), most(last));
        assert!(last.memory <= first.memory + GROWTH_MAX, "the master grows: {first:?}, {last:?}");
    }

    fn say(&self, when: &str, looks: &[Look]) {
        let (most, last) = (most(looks), looks.last().copied().unwrap_or_default());
        println!(
            "{:8} s: the master {when}: at most {most:?}, at last {last:?}",
            self.begun.elapsed().as_secs()
        );
    }
}

fn most(looks: &[Look]) -> Look {
    looks.iter().fold(Look::default(), |most, look| Look {
        memory: most.memory.max(look.memory),
        descriptors: most.descriptors.max(look.descriptors),
        zombies: most.zombies.max(look.zombies),
    })
}
