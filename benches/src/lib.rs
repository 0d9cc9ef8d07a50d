//! What a benchmark and its peers agree upon: the rows, and the lines they talk by.
//!
//! A *peer* is a program of several processes that plays one row: it prints `ready`, and then for each
//! number that it reads on stdin it does so many iterations and prints how many nanoseconds they took. It
//! ends when stdin does.

use std::{
    io::{self, BufRead, Write},
    time::Duration,
};

/// What is measured: the arguments of a peer.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Who sends what to whom.
    pub scene: Scene,
    /// How many workers there are.
    pub workers: usize,
    /// How long the text of a message is; beside it there is a number.
    pub bytes: usize,
}

/// Who sends what to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// The master sends to each worker. It is over when each has counted all and has said so.
    Broadcast,
    /// A worker asks the master, again and again, and gets its message back.
    RoundTrip,
    /// A worker forks a function that says one word and ends, one after the other. What is counted is the
    /// time from the call to the word, not the end.
    Fork,
}

impl Row {
    /// What a peer is called with.
    pub fn to_args(self) -> [String; 3] {
        let scene = match self.scene {
            Scene::Broadcast => "broadcast",
            Scene::RoundTrip => "round_trip",
            Scene::Fork => "fork",
        };
        [scene.to_owned(), self.workers.to_string(), self.bytes.to_string()]
    }

    /// What this process was called with.
    ///
    /// # Errors
    /// That it was called with something else.
    pub fn from_args() -> io::Result<Self> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let read = || {
            let [scene, workers, bytes] = &args[..] else { return None };
            let scene = match scene.as_str() {
                "broadcast" => Scene::Broadcast,
                "round_trip" => Scene::RoundTrip,
                "fork" => Scene::Fork,
                _ => return None,
            };
            Some(Self { scene, workers: workers.parse().ok()?, bytes: bytes.parse().ok()? })
        };
        let usage = "arguments: broadcast|round_trip|fork WORKERS BYTES";
        read().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, usage))
    }
}

/// Says that the peer can begin.
///
/// # Errors
/// Nobody reads stdout any more.
pub fn say_ready() -> io::Result<()> {
    say("ready")
}

/// Says how long the iterations took.
///
/// # Errors
/// Nobody reads stdout any more.
pub fn say_elapsed(elapsed: Duration) -> io::Result<()> {
    say(&elapsed.as_nanos().to_string())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// How many iterations come next; `None` at the end. Blocks.
///
/// # Errors
/// Something that is no number came.
pub fn next_count() -> io::Result<Option<u64>> {
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Ok(None);
    }
    line.trim().parse().map(Some).map_err(io::Error::other)
}
