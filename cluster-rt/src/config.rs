//! Every option of a cluster with its default, and what the environment may say instead.
//!
//! `reading` reads the text of one variable, `recycle` is an option with parts, `service` what one kind of
//! workers has of them, `unknown` guesses what a name that is none was to be. Plain values and parsing: reads no
//! variable itself, so that every rule is tested with pairs of strings. A value that cannot be used is an error that
//! names the variable, the value and what is allowed; all such errors are reported together.

mod reading;
mod recycle;
mod service;
mod unknown;

use std::{fmt, time::Duration};

pub use self::recycle::Recycle;
pub(crate) use self::{
    service::{ServiceConfig, variable_name},
    unknown::unknown_variable,
};

use serde::{Deserialize, Serialize};

use crate::endpoint::Schedule;

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

/// As whom workers run, in the kernel's numbers; `sys::credentials` finds them and takes them on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The supplementary groups.
    pub(crate) groups: Vec<u32>,
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
    /// Age of a heartbeat at which a worker counts as hung; `None` does not watch.
    pub(crate) hang_timeout: Option<Duration>,
    pub(crate) recycle: Recycle,
    /// Workers above their number that a reload may run at once: those starting and those draining.
    pub(crate) surplus: usize,
    /// Of listeners that do not say their own.
    pub(crate) schedule: Schedule,
    /// As whom workers run: a name or a number. `None` for whoever started the program.
    pub(crate) user: Option<String>,
    /// The group of the workers: a name or a number. `None` for that of `user`.
    pub(crate) group: Option<String>,
    /// What `user` and `group` are to the kernel, once `Builder` has looked them up.
    pub(crate) credentials: Option<Credentials>,
    /// `main` runs on no runtime.
    pub(crate) blocking: bool,
    pub(crate) flavor: Flavor,
    /// Threads of a `MultiThread` runtime; `None` for cores divided by workers.
    pub(crate) worker_threads: Option<usize>,
    /// Each worker stays on the processor of its slot.
    pub(crate) pin: bool,
    pub(crate) log: LogLevel,
}

/// More slots than this have no row on the scoreboard while each has a replacement under way.
pub(crate) const WORKERS_MAX: usize = 512;

/// As many replacements as there can be workers.
pub(crate) const SURPLUS_MAX: usize = WORKERS_MAX;

/// Several heartbeats have to fit, on a busy machine too.
pub(crate) const HANG_TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// The longest duration an option takes: far above any use, far below where adding to a clock overflows.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

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
            hang_timeout: None,
            recycle: Recycle::new(),
            surplus: 1,
            schedule: Schedule::RoundRobin,
            user: None,
            group: None,
            credentials: None,
            blocking: false,
            flavor: Flavor::CurrentThread,
            worker_threads: None,
            pin: false,
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

impl Config {
    /// Puts the `CLUSTER_*` variables among `variables` over the options.
    pub(crate) fn override_from<'a>(
        &mut self,
        variables: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Overrides {
        let mut overrides = Overrides::default();
        for (name, value) in variables {
            let Some(option) = name.strip_prefix("CLUSTER_") else { continue };
            // `X=${X:-}` of a shell or a compose file sets nothing; that nobody is named is something to say.
            if value.trim().is_empty() && !matches!(option, "USER" | "GROUP") {
                continue;
            }
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

    fn set(&mut self, option: &str, text: &str) -> Result<(), Refused> {
        match option {
            "WORKERS" => self.workers = Some(reading::workers(text)?),
            "RESPAWN" => self.respawn = reading::respawn(text)?,
            "BACKOFF" => self.backoff = reading::backoff(text)?,
            "GIVE_UP" => self.give_up = reading::give_up(text)?,
            "GRACE" => self.grace = reading::duration(text)?,
            "STOP_DELAY" => self.stop_delay = reading::duration(text)?,
            "START_TIMEOUT" => self.start_timeout = reading::positive_duration(text)?,
            "HANG_TIMEOUT" => self.hang_timeout = reading::hang_timeout(text)?,
            "RECYCLE_CONNECTIONS" => self.recycle.connections = reading::recycle_connections(text)?,
            "RECYCLE_AGE" => self.recycle.age = reading::recycle_age(text)?,
            "RECYCLE_RSS" => self.recycle.rss = reading::recycle_rss(text)?,
            "RECYCLE_JITTER" => self.recycle.jitter = reading::recycle_jitter(text)?,
            "SURPLUS" => self.surplus = reading::surplus(text)?,
            "SCHEDULE" => self.schedule = reading::schedule(text)?,
            "USER" => self.user = reading::name(text),
            "GROUP" => self.group = reading::name(text),
            "FLAVOR" => self.flavor = reading::flavor(text)?,
            "WORKER_THREADS" => self.worker_threads = Some(reading::positive(text)?),
            "PIN" => self.pin = reading::on_or_off(text)?,
            "LOG" => self.log = reading::log_level(text)?,
            _ => return Err(Refused::Unknown),
        }
        Ok(())
    }
}

enum Refused {
    Unknown,
    /// With what is allowed.
    Value(&'static str),
}

impl From<&'static str> for Refused {
    fn from(allowed: &'static str) -> Self {
        Self::Value(allowed)
    }
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
            ("CLUSTER_HANG_TIMEOUT", "30s"),
            ("CLUSTER_RECYCLE_CONNECTIONS", "10000"),
            ("CLUSTER_RECYCLE_AGE", "1h"),
            ("CLUSTER_RECYCLE_RSS", "512MiB"),
            ("CLUSTER_RECYCLE_JITTER", "0.5"),
            ("CLUSTER_SURPLUS", "2"),
            ("CLUSTER_SCHEDULE", "least-connections"),
            ("CLUSTER_USER", "www"),
            ("CLUSTER_GROUP", "33"),
            ("CLUSTER_FLAVOR", "multi_thread"),
            ("CLUSTER_WORKER_THREADS", "2"),
            ("CLUSTER_PIN", "on"),
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
        assert_eq!(config.hang_timeout, Some(Duration::from_secs(30)));
        let hour = Duration::from_secs(3600);
        let recycle = Recycle::new().connections(10_000).age(hour).rss(512 << 20).jitter(0.5);
        assert_eq!(config.recycle, recycle);
        assert_eq!(config.surplus, 2);
        assert_eq!(config.schedule, Schedule::LeastConnections);
        assert_eq!(config.user.as_deref(), Some("www"));
        assert_eq!(config.group.as_deref(), Some("33"));
        assert_eq!(config.flavor, Flavor::MultiThread);
        assert_eq!(config.worker_threads, Some(2));
        assert!(config.pin);
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
            ("CLUSTER_HANG_TIMEOUT", "50ms"),
            ("CLUSTER_RECYCLE_CONNECTIONS", "0"),
            ("CLUSTER_RECYCLE_AGE", "0s"),
            ("CLUSTER_RECYCLE_RSS", "512"),
            ("CLUSTER_RECYCLE_JITTER", "1.1"),
            ("CLUSTER_RECYCLE_JITTER", "NaN"),
            ("CLUSTER_SURPLUS", "0"),
            ("CLUSTER_SURPLUS", "513"),
            ("CLUSTER_SCHEDULE", "random"),
            ("CLUSTER_PIN", "yes"),
        ]);
        assert_eq!(overrides.bad.len(), 17);
        assert_eq!(
            overrides.bad[2].to_string(),
            "CLUSTER_GRACE=\"soon\": not allowed; allowed: a duration such as 250ms, 25s or 1h30m"
        );
    }

    #[test]
    fn a_variable_takes_an_option_away() {
        let mut config = Config {
            hang_timeout: Some(Duration::from_secs(30)),
            recycle: Recycle::new().connections(1).age(Duration::from_secs(1)).rss(1),
            user: Some("www".to_owned()),
            group: Some("www".to_owned()),
            ..Config::default()
        };
        let pairs = [
            ("CLUSTER_HANG_TIMEOUT", "off"),
            ("CLUSTER_RECYCLE_CONNECTIONS", "off"),
            ("CLUSTER_RECYCLE_AGE", "off"),
            ("CLUSTER_RECYCLE_RSS", "off"),
            ("CLUSTER_USER", ""),
            ("CLUSTER_GROUP", ""),
        ];
        assert_eq!(config.override_from(pairs.into_iter()), Overrides::default());
        assert_eq!(config.hang_timeout, None);
        assert!(config.recycle.is_off());
        assert_eq!((config.user, config.group), (None, None));
    }

    #[test]
    fn an_empty_variable_changes_nothing() {
        let pairs = [("CLUSTER_WORKERS", ""), ("CLUSTER_GRACE", " "), ("CLUSTER_WROKERS", "")];
        let (config, overrides) = overridden(&pairs);
        assert_eq!(overrides, Overrides::default());
        assert_eq!((config.workers, config.grace), (None, Config::default().grace));
    }

    #[test]
    fn an_unknown_name_is_told() {
        let (_, overrides) = overridden(&[("CLUSTER_WROKERS", "2")]);
        assert_eq!(overrides.unknown, ["CLUSTER_WROKERS"]);
    }
}
