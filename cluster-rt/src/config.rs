//! Every option of a cluster with its default, and what the environment may say instead.
//!
//! Plain values and parsing: reads no variable itself, so that every rule is tested with pairs of
//! strings. A value that cannot be used is an error that names the variable, the value and what is
//! allowed; all such errors are reported together.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// What follows the exit of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Respawn {
    /// A new worker takes the slot, whatever the exit was. Bare `respawn` in the attribute.
    Always,
    /// A new worker takes the slot unless the old one finished with 0 or was asked to stop.
    OnFailure,
    /// The slot stays empty. The default without the option.
    Never,
}

/// The kind of tokio runtime on which a worker runs its `main`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flavor {
    /// One thread; the default, since the cluster already has a process for each core.
    CurrentThread,
    /// One thread, on which `tokio::task::spawn_local` works anywhere (tokio's `LocalRuntime`).
    Local,
    /// Several threads: the worker's share of the cores, or as many as `worker_threads` says.
    MultiThread,
}

/// What the master tells on stderr or to `tracing`; `CLUSTER_LOG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogLevel {
    /// Nothing.
    Off,
    /// What somebody should look at.
    Warn,
    /// The life of every worker as well.
    Info,
}

/// The delay before the respawn of a slot whose workers keep failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// After the first failure.
    pub(crate) first: Duration,
    /// Never longer than this.
    pub(crate) longest: Duration,
}

/// The options in force.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Number of workers; 0 runs `main` in this process. `None` until something said a number.
    pub(crate) workers: Option<usize>,
    pub(crate) respawn: Respawn,
    pub(crate) backoff: Backoff,
    /// Failed starts in a row, with no worker ready, that end the cluster.
    pub(crate) give_up: u32,
    /// From the order to drain to SIGKILL.
    pub(crate) grace: Duration,
    /// How long the cluster goes on accepting after TERM.
    pub(crate) stop_delay: Duration,
    /// From spawn to ready.
    pub(crate) start_timeout: Duration,
    pub(crate) flavor: Flavor,
    /// Threads of a `MultiThread` runtime; `None` for cores divided by workers.
    pub(crate) worker_threads: Option<usize>,
    pub(crate) log: LogLevel,
}

/// More slots than this have no row on the scoreboard while each has a replacement under way.
pub(crate) const WORKERS_MAX: usize = 512;

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: None,
            respawn: Respawn::Never,
            backoff: Backoff {
                first: Duration::from_millis(100),
                longest: Duration::from_secs(30),
            },
            give_up: 5,
            // Below the 30 s after which Kubernetes sends SIGKILL, so that the master ends first.
            grace: Duration::from_secs(25),
            stop_delay: Duration::ZERO,
            start_timeout: Duration::from_secs(60),
            flavor: Flavor::CurrentThread,
            worker_threads: None,
            log: LogLevel::Info,
        }
    }
}

/// A variable that cannot be used; its `Display` is the whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadVariable {
    name: String,
    value: String,
    allowed: &'static str,
}

impl fmt::Display for BadVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}: not allowed; {}", self.name, self.value, self.allowed)
    }
}

/// What reading the environment gave besides the options.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    /// Names that begin with `CLUSTER_` and mean nothing here.
    pub(crate) unknown: Vec<String>,
    /// Values that stop the start.
    pub(crate) bad: Vec<BadVariable>,
}

const A_DURATION: &str = "allowed: a duration such as 250ms, 25s or 1h30m";
const A_POSITIVE_DURATION: &str = "allowed: a duration above zero such as 250ms, 25s or 1h30m";
const A_COUNT: &str = "allowed: a whole number, 1 or more";

impl Config {
    /// Puts the `CLUSTER_*` variables among `variables` over the options.
    pub(crate) fn override_from<'a>(
        &mut self,
        variables: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Overrides {
        let mut overrides = Overrides::default();
        for (name, value) in variables {
            let Some(option) = name.strip_prefix("CLUSTER_") else { continue };
            match self.set(option, value.trim()) {
                Ok(()) => {}
                Err(Refused::Unknown) => overrides.unknown.push(name.to_owned()),
                Err(Refused::Value(allowed)) => overrides.bad.push(BadVariable {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    allowed,
                }),
            }
        }
        overrides
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), Refused> {
        match option {
            "WORKERS" => {
                let allowed =
                    "allowed: a whole number from 0 (no workers: main runs in this process) to 512";
                let count = number(value).filter(|&n| n <= WORKERS_MAX);
                self.workers = Some(count.ok_or(Refused::Value(allowed))?);
            }
            "RESPAWN" => {
                self.respawn = match value {
                    "always" => Respawn::Always,
                    "on-failure" => Respawn::OnFailure,
                    "never" => Respawn::Never,
                    _ => return Err(Refused::Value("allowed: always, on-failure or never")),
                };
            }
            "BACKOFF" => {
                let allowed = "allowed: two durations such as 100ms..30s, the first above zero and not the longer";
                self.backoff = backoff(value).ok_or(Refused::Value(allowed))?;
            }
            "GIVE_UP" => {
                let count = number(value).and_then(|n| u32::try_from(n).ok()).filter(|&n| n > 0);
                self.give_up = count.ok_or(Refused::Value(A_COUNT))?;
            }
            "GRACE" => self.grace = duration(value).ok_or(Refused::Value(A_DURATION))?,
            "STOP_DELAY" => self.stop_delay = duration(value).ok_or(Refused::Value(A_DURATION))?,
            "START_TIMEOUT" => {
                let timeout = duration(value).filter(|d| !d.is_zero());
                self.start_timeout = timeout.ok_or(Refused::Value(A_POSITIVE_DURATION))?;
            }
            "FLAVOR" => {
                self.flavor = match value {
                    "current_thread" => Flavor::CurrentThread,
                    "local" => Flavor::Local,
                    "multi_thread" => Flavor::MultiThread,
                    _ => {
                        return Err(Refused::Value(
                            "allowed: current_thread, local or multi_thread",
                        ));
                    }
                };
            }
            "WORKER_THREADS" => {
                let count = number(value).filter(|&n| n > 0);
                self.worker_threads = Some(count.ok_or(Refused::Value(A_COUNT))?);
            }
            "LOG" => {
                self.log = match value {
                    "off" => LogLevel::Off,
                    "warn" => LogLevel::Warn,
                    "info" => LogLevel::Info,
                    _ => return Err(Refused::Value("allowed: off, warn or info")),
                };
            }
            _ => return Err(Refused::Unknown),
        }
        Ok(())
    }
}

enum Refused {
    Unknown,
    Value(&'static str),
}

fn number(value: &str) -> Option<usize> {
    value.parse().ok()
}

/// The longest duration an option takes: far above any use, far below where adding to a clock overflows.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

fn duration(value: &str) -> Option<Duration> {
    // Zero is the one number that needs no unit.
    if value == "0" {
        return Some(Duration::ZERO);
    }
    humantime::parse_duration(value).ok().filter(|&d| d <= DURATION_MAX)
}

fn backoff(value: &str) -> Option<Backoff> {
    let (first, longest) = value.split_once("..")?;
    let backoff = Backoff { first: duration(first.trim())?, longest: duration(longest.trim())? };
    (!backoff.first.is_zero() && backoff.first <= backoff.longest).then_some(backoff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overridden(pairs: &[(&str, &str)]) -> (Config, Overrides) {
        let mut config = Config::default();
        let overrides = config.override_from(pairs.iter().copied());
        (config, overrides)
    }

    #[test]
    fn every_option_has_its_variable() {
        let (config, overrides) = overridden(&[
            ("CLUSTER_WORKERS", "8"),
            ("CLUSTER_RESPAWN", "on-failure"),
            ("CLUSTER_BACKOFF", "50ms..2s"),
            ("CLUSTER_GIVE_UP", "3"),
            ("CLUSTER_GRACE", "5s"),
            ("CLUSTER_STOP_DELAY", "1s"),
            ("CLUSTER_START_TIMEOUT", "1m"),
            ("CLUSTER_FLAVOR", "multi_thread"),
            ("CLUSTER_WORKER_THREADS", "2"),
            ("CLUSTER_LOG", "warn"),
            ("PATH", "/bin"),
        ]);
        assert_eq!(overrides, Overrides::default());
        assert_eq!(config.workers, Some(8));
        assert_eq!(config.respawn, Respawn::OnFailure);
        assert_eq!(config.backoff.first, Duration::from_millis(50));
        assert_eq!(config.backoff.longest, Duration::from_secs(2));
        assert_eq!(config.give_up, 3);
        assert_eq!(config.grace, Duration::from_secs(5));
        assert_eq!(config.stop_delay, Duration::from_secs(1));
        assert_eq!(config.start_timeout, Duration::from_secs(60));
        assert_eq!(config.flavor, Flavor::MultiThread);
        assert_eq!(config.worker_threads, Some(2));
        assert_eq!(config.log, LogLevel::Warn);
    }

    #[test]
    fn all_bad_values_are_reported_with_name_value_and_remedy() {
        let (_, overrides) = overridden(&[
            ("CLUSTER_WORKERS", "-1"),
            ("CLUSTER_WORKERS", "513"),
            ("CLUSTER_GRACE", "soon"),
            ("CLUSTER_GRACE", "900000000000y"),
            ("CLUSTER_BACKOFF", "3s..1s"),
            ("CLUSTER_GIVE_UP", "0"),
            ("CLUSTER_START_TIMEOUT", "0"),
        ]);
        assert_eq!(overrides.bad.len(), 7);
        assert_eq!(
            overrides.bad[2].to_string(),
            "CLUSTER_GRACE=\"soon\": not allowed; allowed: a duration such as 250ms, 25s or 1h30m"
        );
    }

    #[test]
    fn an_unknown_name_is_told() {
        let (_, overrides) = overridden(&[("CLUSTER_WROKERS", "2")]);
        assert_eq!(overrides.unknown, ["CLUSTER_WROKERS"]);
    }
}
