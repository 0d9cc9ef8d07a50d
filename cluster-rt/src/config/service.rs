//! One kind of workers with the options in force for it, and its variables.
//!
//! Plain values and parsing, as all of `config`. What an operator says of all workers is weaker than what
//! the program says of one service; what an operator says of that service is stronger than either.

use super::{BadVariable, Config, Refused, reading};

/// One kind of workers.
#[derive(Clone, Debug)]
pub(crate) struct ServiceConfig {
    /// `None` in a cluster that names no services and so has this one.
    pub(crate) name: Option<&'static str>,
    /// At least one.
    pub(crate) workers: usize,
    /// The options of the cluster with the service's own over them.
    pub(crate) rules: Config,
    /// The cluster goes on if it gives up.
    pub(crate) optional: bool,
    /// The services that are to be up before it begins, by their places in the list.
    pub(crate) after: Vec<usize>,
}

impl ServiceConfig {
    /// The workers of a cluster that names no services.
    pub(crate) fn only(rules: Config, workers: usize) -> Self {
        Self { name: None, workers, rules, optional: false, after: Vec::new() }
    }

    /// Puts a variable over the options, if it is one of this service's: `CLUSTER_WORKERS_WEB`.
    pub(crate) fn set(&mut self, variable: &str, value: &str) -> Result<bool, BadVariable> {
        let Some(option) = self.option_of(variable) else { return Ok(false) };
        let text = value.trim();
        let set = match option {
            "WORKERS" => reading::some_workers(text).map(|count| self.workers = count),
            "OPTIONAL" => reading::on_or_off(text).map(|on| self.optional = on),
            _ if !OF_SERVICES.contains(&option) => return Ok(false),
            option => match self.rules.set(option, text) {
                Ok(()) => Ok(()),
                Err(Refused::Unknown) => return Ok(false),
                Err(Refused::Value(allowed)) => Err(allowed),
            },
        };
        let bad =
            |allowed| BadVariable { name: variable.to_owned(), value: value.to_owned(), allowed };
        set.map(|()| true).map_err(bad)
    }

    fn option_of<'a>(&self, variable: &'a str) -> Option<&'a str> {
        let option = variable.strip_prefix("CLUSTER_")?;
        option.strip_suffix(&variable_name(self.name?))?.strip_suffix('_')
    }
}

/// The options that a service has for itself, but for the number of its workers.
pub(super) const OF_SERVICES: [&str; 13] = [
    "RESPAWN",
    "BACKOFF",
    "GIVE_UP",
    "GRACE",
    "START_TIMEOUT",
    "HANG_TIMEOUT",
    "RECYCLE_CONNECTIONS",
    "RECYCLE_AGE",
    "RECYCLE_RSS",
    "RECYCLE_JITTER",
    "SCHEDULE",
    "FLAVOR",
    "WORKER_THREADS",
];

/// How a service is called in the names of variables.
pub(crate) fn variable_name(service: &str) -> String {
    let letter = |c: char| if c.is_alphanumeric() { c } else { '_' };
    service.chars().map(letter).collect::<String>().to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Respawn;

    fn web() -> ServiceConfig {
        let only = ServiceConfig::only(Config::default(), 4);
        ServiceConfig { name: Some("web-front"), ..only }
    }

    #[test]
    fn a_service_has_variables_of_its_own() {
        let mut service = web();
        for (name, value) in [
            ("CLUSTER_WORKERS_WEB_FRONT", "6"),
            ("CLUSTER_RESPAWN_WEB_FRONT", "always"),
            ("CLUSTER_WORKER_THREADS_WEB_FRONT", " 2 "),
            ("CLUSTER_OPTIONAL_WEB_FRONT", "on"),
        ] {
            assert_eq!(service.set(name, value), Ok(true), "{name}");
        }
        assert_eq!((service.workers, service.optional), (6, true));
        assert_eq!(service.rules.respawn, Respawn::Always);
        assert_eq!(service.rules.worker_threads, Some(2));
    }

    #[test]
    fn what_is_the_clusters_or_anothers_is_not_a_services() {
        for name in ["CLUSTER_WORKERS_JOBS", "CLUSTER_USER_WEB_FRONT", "CLUSTER_WORKERS_FRONT", "A"]
        {
            assert_eq!(web().set(name, "6"), Ok(false), "{name}");
        }
    }

    #[test]
    fn a_bad_value_names_the_variable() {
        let bad = web().set("CLUSTER_WORKERS_WEB_FRONT", "0").expect_err("bad");
        let text =
            "CLUSTER_WORKERS_WEB_FRONT=\"0\": not allowed; allowed: a whole number from 1 to 512";
        assert_eq!(bad.to_string(), text);
    }
}
