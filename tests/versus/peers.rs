//! Which servers there are, how each is started, and how it says that it is ready.

use std::{net::SocketAddr, path::Path, process::Command};

use crate::programs::{Folder, NGINX, RACK, WSGI, own, source, version};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// This project, with a schedule.
    Cluster(&'static str),
    /// One tokio process with one thread.
    Single,
    /// One tokio process with a thread for each worker of the others.
    Threads,
    /// tokio processes with a socket each.
    ReusePort,
    Nginx,
    /// With a scheduling policy.
    Node(&'static str),
    /// With its default, sync workers.
    Gunicorn,
    /// In cluster mode, with one thread in each worker.
    Puma,
}

/// A server with its number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contestant {
    pub(crate) peer: Peer,
    pub(crate) workers: usize,
}

/// By what a server shows that all its workers are ready.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sign {
    /// So many lines with this text.
    Lines(&'static str, usize),
    /// Its first answer; it says nothing.
    Answer,
}

/// To what all others are compared.
pub(crate) const OURS: Contestant = Contestant { peer: Peer::Cluster("round-robin"), workers: 2 };

/// What a cluster should come near to.
pub(crate) const PLAIN: Contestant = Contestant { peer: Peer::Single, workers: 1 };

const ALL: [Contestant; 14] = [
    OURS,
    Contestant { peer: Peer::Cluster("least-connections"), workers: 2 },
    Contestant { peer: Peer::Cluster("sticky"), workers: 2 },
    Contestant { peer: Peer::Cluster("shared"), workers: 2 },
    Contestant { peer: Peer::Cluster("kernel"), workers: 2 },
    Contestant { peer: Peer::Cluster("round-robin"), workers: 1 },
    PLAIN,
    Contestant { peer: Peer::Threads, workers: 2 },
    Contestant { peer: Peer::ReusePort, workers: 2 },
    Contestant { peer: Peer::Nginx, workers: 2 },
    Contestant { peer: Peer::Node("rr"), workers: 2 },
    Contestant { peer: Peer::Node("none"), workers: 2 },
    Contestant { peer: Peer::Gunicorn, workers: 2 },
    Contestant { peer: Peer::Puma, workers: 2 },
];

/// Those that are installed and were asked for, and a sentence on each of the others.
pub(crate) fn contestants(names: &[String]) -> (Vec<Contestant>, Vec<String>) {
    let asked =
        |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part.as_str()));
    let mut skipped = Vec::new();
    let mut found: Vec<Contestant> = Vec::new();
    for contestant in ALL.into_iter().filter(|contestant| asked(&contestant.name())) {
        match contestant.peer.needs() {
            Some((program, argument)) if version(program, argument).is_none() => {
                skipped.push(format!("{}: {program} is not installed", contestant.name()));
            }
            _ => found.push(contestant),
        }
    }
    (found, skipped)
}

/// The one of this name, whether it is installed or not.
pub(crate) fn named(name: &str) -> Option<Contestant> {
    ALL.into_iter().find(|contestant| contestant.name() == name)
}

impl Peer {
    /// The one of this name, whatever its number of workers.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().map(|contestant| contestant.peer).find(|peer| peer.name() == name)
    }

    /// The program that has to be installed, and what makes it say its version.
    pub(crate) fn needs(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Nginx => Some(("nginx", "-v")),
            Self::Node(_) => Some(("node", "--version")),
            Self::Gunicorn => Some(("gunicorn", "--version")),
            Self::Puma => Some(("puma", "--version")),
            Self::Cluster(_) | Self::Single | Self::Threads | Self::ReusePort => None,
        }
    }

    /// Whatever its number of workers.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Cluster(schedule) => format!("cluster, {schedule}"),
            Self::Single => "tokio, one process".to_owned(),
            Self::Threads => "tokio, two threads".to_owned(),
            Self::ReusePort => "tokio, SO_REUSEPORT by hand".to_owned(),
            Self::Nginx => "nginx".to_owned(),
            Self::Node("rr") => "Node cluster, round robin".to_owned(),
            Self::Node(policy) => format!("Node cluster, {policy}"),
            Self::Gunicorn => "gunicorn".to_owned(),
            Self::Puma => "puma".to_owned(),
        }
    }

    /// Whether it finds a port by itself, and says `listening on ADDRESS`.
    pub(crate) fn chooses_port(self) -> bool {
        matches!(self, Self::Cluster(_) | Self::Single | Self::Threads | Self::ReusePort)
    }

    /// Whether another worker follows one that was killed.
    pub(crate) fn respawns(self) -> bool {
        !matches!(self, Self::Single | Self::Threads | Self::ReusePort)
    }
}

impl Contestant {
    /// As tables and plots say it.
    pub(crate) fn name(&self) -> String {
        match (self.peer, self.workers) {
            (Peer::Cluster(_), 1) => format!("{}, one worker", self.peer.name()),
            _ => self.peer.name(),
        }
    }

    /// How it shows that it is ready.
    pub(crate) fn sign(&self) -> Sign {
        match self.peer {
            Peer::Cluster(_) => Sign::Lines(" serves", self.workers),
            Peer::Single | Peer::Threads => Sign::Lines("listening on", 1),
            Peer::ReusePort | Peer::Node(_) => Sign::Lines("listening on", self.workers),
            Peer::Puma => Sign::Lines(") booted in ", self.workers),
            Peer::Nginx | Peer::Gunicorn => Sign::Answer,
        }
    }

    /// What its folder is to contain.
    pub(crate) fn folder(&self, address: SocketAddr) -> Option<Folder> {
        let workers = self.workers.to_string();
        match self.peer {
            Peer::Nginx => {
                let port = address.port().to_string();
                let text = NGINX.replace("WORKERS", &workers).replace("PORT", &port);
                Some(Folder::with("nginx.conf", &text))
            }
            Peer::Gunicorn => Some(Folder::with("hello.py", WSGI)),
            Peer::Puma => Some(Folder::with("config.ru", RACK)),
            _ => None,
        }
    }

    /// The command that starts it. `address` is for those that cannot choose a port and say which.
    pub(crate) fn command(&self, address: SocketAddr, folder: &Path) -> Command {
        let workers = self.workers.to_string();
        let with = |program: &Path, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments);
            // Those by which somebody tunes the tests are not for the programs.
            for (name, _) in std::env::vars_os() {
                if name.to_string_lossy().starts_with("CLUSTER_") {
                    command.env_remove(name);
                }
            }
            command
        };
        let plain = own("hello_plain");
        let folder = folder.to_string_lossy();
        match self.peer {
            Peer::Cluster(schedule) => {
                let mut command = with(&own("hello_cluster"), &[]);
                command.env("CLUSTER_WORKERS", &workers).env("CLUSTER_SCHEDULE", schedule);
                command
            }
            Peer::Single => with(&plain, &["single"]),
            Peer::Threads => with(&plain, &["threads", &workers]),
            Peer::ReusePort => with(&plain, &["reuseport", &workers]),
            Peer::Nginx => with(Path::new("nginx"), &["-p", &folder, "-c", "nginx.conf"]),
            Peer::Node(policy) => {
                let mut command = with(Path::new("node"), &[]);
                let port = address.port().to_string();
                command.arg(source("node.js")).args([policy, &workers, &port]);
                command
            }
            Peer::Gunicorn => {
                let bind = address.to_string();
                let options = ["--chdir", &folder, "-w", &workers, "-b", &bind, "hello:hello"];
                with(Path::new("gunicorn"), &options)
            }
            Peer::Puma => {
                let bind = format!("tcp://{address}");
                let place = ["--no-config", "--dir", &folder, "-e", "production"];
                let mut command = with(Path::new("puma"), &place);
                command.args(["-w", &workers, "-t", "1:1", "-b", &bind]);
                command
            }
        }
    }
}
