//! How the kernel chooses among the sockets of a listener that has one for each slot.
//!
//! Leaves out the sockets of slots that have no worker, whose worker takes nothing or has as many
//! connections as it may; what waits there the dispatcher hands over like any other. Invariant: a
//! socket is at one position for as long as the group lives, and none is ever closed before the others,
//! since the kernel would move the positions and reset what waits.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    lane::{Lane, STALLED},
    listening::{Door, News},
};
use crate::sys::{
    bpf::{self, InTurn},
    socket::is_readable,
};

/// How often it is looked whether workers take what they are given.
const LOOK_INTERVAL: Duration = STALLED;

#[derive(Debug)]
pub(super) struct Group {
    /// `None` where the kernel does not let us have one: then the choice is random.
    program: Option<InTurn>,
    chosen: Vec<usize>,
    /// By position: what the worker had taken when something was last seen to wait, while it does.
    waiting_since: Vec<Option<u64>>,
    next_look: Instant,
}

impl Group {
    /// A group that begins with this door, and what to say of it.
    pub(super) fn new(first: &Door) -> (Self, News) {
        let program = InTurn::load().and_then(|program| {
            program.attach(&first.socket)?;
            Ok(program)
        });
        let told = match &program {
            Ok(_) => News::Info("kernel schedule: in turn, by an eBPF program".to_owned()),
            Err(error) => News::Info(format!(
                "kernel schedule: at random, by a classic BPF program (eBPF: {error}; exact turns take \
                 CAP_BPF and CAP_NET_ADMIN, and Linux 5.12)"
            )),
        };
        let next_look = Instant::now() + LOOK_INTERVAL;
        let (chosen, waiting_since) = (Vec::new(), Vec::new());
        (Self { program: program.ok(), chosen, waiting_since, next_look }, told)
    }

    /// The door has this position, the next one.
    pub(super) fn add(&mut self, position: usize, door: &Door, news: &mut Vec<News>) {
        self.waiting_since.push(None);
        if let Some(Err(error)) = self.program.as_ref().map(|p| p.add(position, &door.socket)) {
            news.push(trouble(&error));
        }
    }

    /// Whether the kernel gives connections to the door at this position.
    pub(super) fn chooses(&self, position: usize) -> bool {
        self.chosen.contains(&position)
    }

    /// Tells the kernel, if it is news, which doors have workers that take what they are given.
    pub(super) fn choose(
        &mut self,
        doors: &[Door],
        lanes: &[Option<Lane>],
        now: Instant,
        news: &mut Vec<News>,
    ) {
        let serves = |lane: &Lane| lane.is_served() && !lane.is_paused(now) && !lane.is_at_limit();
        let is_served =
            |door: &Door| lanes.iter().flatten().any(|lane| lane.slot == door.slot && serves(lane));
        let chosen: Vec<usize> = doors
            .iter()
            .enumerate()
            .filter_map(|(position, door)| is_served(door).then_some(position))
            .collect();
        if chosen == self.chosen {
            return;
        }
        let told = match (&self.program, doors.first()) {
            (Some(program), _) => program.choose_among(&chosen),
            (None, Some(first)) => bpf::choose_at_random(&first.socket, &chosen),
            (None, None) => Ok(()),
        };
        if let Err(error) = told {
            news.push(trouble(&error));
        }
        self.chosen = chosen;
    }

    /// Leaves alone for a while who has taken nothing since the last look though something waits.
    pub(super) fn look(
        &mut self,
        doors: &[Door],
        lanes: &mut [Option<Lane>],
        now: Instant,
        news: &mut Vec<News>,
    ) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK_INTERVAL;
        for (position, door) in doors.iter().enumerate() {
            let mut of_slot = lanes.iter_mut().flatten().filter(|lane| lane.slot == door.slot);
            let Some(lane) = of_slot.find(|lane| lane.is_admitted()) else { continue };
            let waits = self.chosen.contains(&position) && is_readable(&door.socket);
            let taken = lane.taken().filter(|_| waits);
            if taken.is_some() && taken == self.waiting_since[position] && !lane.is_at_limit() {
                lane.pause(now);
            }
            self.waiting_since[position] = taken;
        }
        self.choose(doors, lanes, now, news);
    }

    pub(super) fn next_look(&self) -> Instant {
        self.next_look
    }
}

fn trouble(error: &io::Error) -> News {
    News::Trouble(format!("kernel schedule: {error}; connections may come to workers unevenly"))
}
