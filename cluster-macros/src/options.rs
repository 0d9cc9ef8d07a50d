//! The names of the options, and what to say about a name that is none.
//!
//! It reads no values. Invariant: every name in `AVAILABLE` has a reader in `args` that
//! accepts its example, and no name is in two of the tables.

/// Every option of this version with an example of its use, in the order of the documentation.
pub(crate) const AVAILABLE: [(&str, &str); 22] = [
    ("workers", "workers = 4"),
    ("respawn", r#"respawn = "on-failure""#),
    ("backoff", r#"backoff = "100ms..30s""#),
    ("give_up", "give_up = 5"),
    ("grace", r#"grace = "25s""#),
    ("stop_delay", r#"stop_delay = "5s""#),
    ("start_timeout", r#"start_timeout = "60s""#),
    ("hang_timeout", r#"hang_timeout = "30s""#),
    ("recycle", r#"recycle(connections = 10_000, age = "1h")"#),
    ("surplus", "surplus = 1"),
    ("schedule", r#"schedule = "least-connections""#),
    ("services", "services(web = 4, jobs = 2)"),
    ("user", r#"user = "www""#),
    ("group", r#"group = "www""#),
    ("flavor", r#"flavor = "multi_thread""#),
    ("worker_threads", "worker_threads = 4"),
    ("blocking", "blocking"),
    ("pin", "pin"),
    ("init", "init = setup"),
    ("master", "master = watch"),
    ("preload", "preload = load"),
    ("crate", "crate = renamed_cluster"),
];

/// What stands in the parentheses of `recycle`, each with an example.
pub(crate) const RECYCLE: [(&str, &str); 4] = [
    ("connections", "connections = 10_000"),
    ("age", r#"age = "1h""#),
    ("rss", r#"rss = "512MiB""#),
    ("jitter", "jitter = 0.1"),
];

/// What stands in the parentheses of a service.
pub(crate) const SERVICE: [&str; 13] = [
    "workers",
    "respawn",
    "backoff",
    "give_up",
    "grace",
    "start_timeout",
    "hang_timeout",
    "recycle",
    "schedule",
    "flavor",
    "worker_threads",
    "optional",
    "after",
];

/// Examples of those that are no options of the cluster.
const OF_SERVICES: [(&str, &str); 2] = [("optional", "optional"), ("after", "after = web")];

/// What others call it, each group with the remedy. The words come from tokio, Node, gunicorn,
/// puma, PM2, Kubernetes and systemd, where edit distance would find nothing or the wrong option.
const OTHER_WORDS: [(&[&str], &str); 23] = [
    (
        &["num_workers", "worker_count", "n", "count", "processes", "instances", "replicas"],
        "the number of workers is `workers = 4`",
    ),
    (
        &["threads", "num_threads", "core_threads", "max_threads"],
        "a worker is a process; the threads inside it are \
         `flavor = \"multi_thread\", worker_threads = 4`",
    ),
    (
        &["restart", "restart_policy", "auto_restart"],
        "what follows a worker's exit is `respawn`, or `respawn = \"on-failure\"`",
    ),
    (
        &["max_restarts", "restart_limit", "start_limit", "retries"],
        "how many failed starts end the cluster is `give_up = 5`",
    ),
    (
        &["timeout"],
        "the time to drain is `grace = \"25s\"`, the time from spawn to ready \
         `start_timeout = \"60s\"`, the time after which a worker counts as hung \
         `hang_timeout = \"30s\"`",
    ),
    (
        &["graceful_timeout", "shutdown_timeout", "stop_timeout", "kill_timeout", "drain_timeout"],
        "the time to drain is `grace = \"25s\"`",
    ),
    (
        &["boot_timeout", "ready_timeout", "startup_timeout"],
        "the time from spawn to ready is `start_timeout = \"60s\"`",
    ),
    (
        &["watchdog", "watchdog_sec", "heartbeat", "heartbeat_timeout", "worker_timeout", "hang"],
        "the time after which a worker counts as hung is `hang_timeout = \"30s\"`",
    ),
    (
        &["max_requests", "requests", "connections"],
        "how many connections a worker gets before it is replaced is \
         `recycle(connections = 10_000)`",
    ),
    (
        &["max_age", "max_lifetime", "lifetime", "ttl", "age"],
        "how long a worker lives before it is replaced is `recycle(age = \"1h\")`",
    ),
    (
        &["max_memory_restart", "max_memory", "max_rss", "memory_limit", "memory", "rss"],
        "how much memory a worker may use before it is replaced is `recycle(rss = \"512MiB\")`",
    ),
    (
        &["jitter", "max_requests_jitter"],
        "how far below its limit a worker may be replaced is \
         `recycle(connections = 10_000, jitter = 0.1)`",
    ),
    (
        &["max_surge", "surge", "extra_workers"],
        "how many workers above their number a reload may run is `surplus = 1`",
    ),
    (
        &["scheduling", "balance", "balancer", "lb", "strategy", "policy", "scheduling_policy"],
        "how connections are shared is `schedule = \"least-connections\"`",
    ),
    (
        &["reuseport", "reuse_port", "so_reuseport"],
        "a socket for each slot is `schedule = \"kernel\"`",
    ),
    (&["run_as", "uid", "username", "setuid"], "whom the workers run as is `user = \"www\"`"),
    (&["gid", "setgid"], "the group that the workers run as is `group = \"www\"`"),
    (&["runtime", "rt"], "the kind of runtime is `flavor = \"multi_thread\"`"),
    (&["setup", "on_start", "before_start"], "what runs first in every process is `init = setup`"),
    (
        &["preload_app", "before_fork", "warmup", "shared"],
        "what is made once and shared by all workers is `preload = load`",
    ),
    (
        &["affinity", "cpu_affinity", "worker_cpu_affinity", "cpus", "cores"],
        "each worker on a processor of its own is `pin`",
    ),
    (
        &["primary", "supervisor", "leader"],
        "the master's own branch is `master = watch`, or a `cluster::Role` parameter",
    ),
    (
        &["bind", "listen", "listener", "addr", "address", "port"],
        "a worker binds in `main`, with `cluster::TcpListener::bind`",
    ),
];

/// At most this many edits apart, a wrong name is taken for a slip of the right one.
const EDITS_MAX: usize = 2;

/// An example of the option `name`, back-ticked for a message.
pub(crate) fn example(name: &str) -> String {
    let found =
        AVAILABLE.iter().chain(&RECYCLE).chain(&OF_SERVICES).find(|(known, _)| *known == name);
    found.map_or_else(|| format!("`{name}`"), |(_, example)| format!("`{example}`"))
}

/// The message for a name that is no option of this version.
pub(crate) fn refusal(name: &str) -> String {
    if let Some((_, remedy)) = OTHER_WORDS.iter().find(|(words, _)| words.contains(&name)) {
        return format!("unknown option `{name}`: {remedy}");
    }
    let names = AVAILABLE.iter().map(|(known, _)| *known);
    match nearest(name, names.clone()) {
        Some(known) => format!("unknown option `{name}`; did you mean `{known}`?"),
        None => {
            let list: Vec<_> = names.map(|known| format!("`{known}`")).collect();
            format!("unknown option `{name}`; the options are {}", list.join(", "))
        }
    }
}

/// The candidate nearest to `name`, if it is near enough to be meant.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::levenshtein(name, candidate), candidate))
        // Two edits turn three letters into almost any other three: short names must be nearer.
        .filter(|(edits, candidate)| *edits <= EDITS_MAX && edits * 2 < candidate.len())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_answered_with_the_right_name() {
        assert_eq!(refusal("workrs"), "unknown option `workrs`; did you mean `workers`?");
        assert_eq!(refusal("giveup"), "unknown option `giveup`; did you mean `give_up`?");
    }

    #[test]
    fn a_far_name_gets_the_list() {
        let message = refusal("frobnicate");
        for (name, _) in AVAILABLE {
            assert!(message.contains(&format!("`{name}`")), "{message}");
        }
    }

    #[test]
    fn a_short_name_is_not_taken_for_any_other_short_name() {
        assert_eq!(nearest("ab", ["pin"].into_iter()), None);
        assert_eq!(nearest("bin", ["pin"].into_iter()), Some("pin"));
    }

    #[test]
    fn no_name_is_in_two_tables() {
        let mut names: Vec<&str> = AVAILABLE.iter().map(|(name, _)| *name).collect();
        names.extend(OTHER_WORDS.iter().flat_map(|(words, _)| words.iter()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
