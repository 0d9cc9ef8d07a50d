//! `Builder`: a cluster without the attribute, and what the attribute expands to.
//!
//! Decides which part this process plays: zygote, worker, master, or a worker without a master. The
//! only file that sees master and worker both. The options that are plain values are in `options`, what
//! is made before the fork in `preload`, several kinds of workers in `services`.

mod ground;
mod options;
mod preload;
mod services;
pub(crate) mod untaken;

use std::{
    fmt,
    future::Future,
    io::Write,
    process::{ExitCode, Termination},
};

pub use self::services::{Entry, ServiceOptions};
use self::services::{Given, Runs};
use crate::{
    config::{self, Config, Credentials, ServiceConfig, WORKERS_MAX},
    master::{self, Branch, Master},
    preload::Preload,
    sys::{fork::Image, inherited::AtStart, process},
    worker::{self, Body, OnRuntime, OnThread, Worker, cores},
    zygote::{self, Handover},
};

/// Which part of the cluster runs here: Node's `if (cluster.isPrimary)`.
///
/// Exhaustive on purpose: there is no third part.
#[derive(Debug)]
pub enum Role {
    /// The master's branch, once, on a thread of its own.
    Master(Master),
    /// A worker.
    Worker(Worker),
}

/// What exit code says that the configuration is bad (EX_CONFIG of `sysexits.h`).
const EXIT_CONFIG: i32 = 78;

/// What exit code says that the system refused something at the start (EX_OSERR).
const EXIT_SYSTEM: i32 = 71;

/// What exit code says that the preload failed; a master gives up with the same.
const EXIT_PRELOAD: i32 = 70;

/// A cluster described step by step, without the attribute.
///
/// `#[cluster::main(workers = 4, respawn)] async fn main() { .. }` is the same as
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     cluster::Builder::new().workers(4).respawn(cluster::Respawn::Always).run(serve)
/// }
///
/// async fn serve() -> std::io::Result<()> {
///     // what each worker does
///     Ok(())
/// }
/// ```
///
/// Code before `run` executes in the master *and* in the zygote, from which the workers are forked;
/// it must start no thread and open no socket. That is one reason to prefer the attribute. `run` takes the
/// variables of `sd_listen_fds(3)` out of the environment, which no other thread may read meanwhile.
///
/// Each option but the functions has an environment variable, `CLUSTER_` and its name in capitals, that
/// is stronger than what is said here.
#[must_use = "nothing runs before one of the `run` methods"]
pub struct Builder<T: 'static = ()> {
    config: Config,
    preload: Preload<T>,
    workers: Option<Box<dyn FnOnce() -> usize>>,
    init: Option<Box<dyn FnOnce()>>,
    branch: Option<Branch>,
    services: Vec<Given>,
    /// Of the same services; taken by `run_master`.
    runs: Runs<T>,
    /// What cannot be: reported together when it runs.
    mistakes: Vec<String>,
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// A cluster with every default.
    pub fn new() -> Self {
        let (config, preload) = (Config::default(), Preload::Nothing(()));
        Self {
            config,
            preload,
            workers: None,
            init: None,
            branch: None,
            services: Vec::new(),
            runs: Vec::new(),
            mistakes: Vec::new(),
        }
    }
}

impl<T: 'static> Builder<T> {
    /// Runs first in the master and first in each worker, never in the zygote: the place to set up
    /// `tracing`.
    pub fn init(mut self, init: impl FnOnce() + 'static) -> Self {
        self.init = Some(Box::new(init));
        self
    }

    /// The master's branch: an async function that gets the [`Master`] handle, on a thread and runtime
    /// of its own. When it ends well the cluster goes on; when it ends with an error or panics, the
    /// cluster stops gracefully and ends with that exit code.
    pub fn master<F, Fut>(mut self, branch: F) -> Self
    where
        F: FnOnce(Master) -> Fut + Send + 'static,
        Fut: Future,
        Fut::Output: Termination,
    {
        self.branch = Some(branch_of(branch));
        self
    }

    /// Runs the cluster with `main` in every worker, until it ends.
    ///
    /// # Exit code
    /// 0 after a stop; 70 when it gave up or its preload failed; 71 when the system refused something at the start;
    /// 78 for a bad configuration; otherwise the code of the workers, or of the master's branch.
    ///
    /// # Panics
    /// If `main` panics with `workers = 0`, the message is printed and the code is 101; nothing unwinds
    /// out of this.
    pub fn run<F, Fut>(self, main: F) -> ExitCode
    where
        F: FnOnce() -> Fut,
        Fut: Future,
        Fut::Output: Termination,
    {
        self.play(|_| OnRuntime(main))
    }

    /// As [`run`](Self::run), with a `main` that is not `async` and has no runtime: for
    /// [`cluster::blocking`](crate::blocking).
    ///
    /// A drain ends [`blocking::Incoming`](crate::blocking::Incoming); a `main` that takes no notice of
    /// one ends with the process, when its connections are closed.
    ///
    /// # Exit code
    /// As for [`run`](Self::run); 78 together with [`hang_timeout`](Self::hang_timeout), whose heartbeat is
    /// a task of the runtime.
    pub fn run_blocking<F, Out>(mut self, main: F) -> ExitCode
    where
        F: FnOnce() -> Out,
        Out: Termination,
    {
        self.config.blocking = true;
        self.play(|_| OnThread(main))
    }
}

impl Builder {
    /// Runs the cluster with `main` in every worker and once in the master, told apart by [`Role`].
    ///
    /// With `workers = 0` there is no master, and only the worker's part runs. Not together with
    /// [`preload`](Self::preload), whose value the master does not have: its branch is then a function
    /// of its own, given to [`master`](Self::master).
    ///
    /// # Exit code
    /// As for [`run`](Self::run).
    pub fn run_roles<F, Fut>(mut self, main: F) -> ExitCode
    where
        F: FnOnce(Role) -> Fut + Send + 'static,
        Fut: Future,
        Fut::Output: Termination,
    {
        // Exactly one of the two branches runs in any process.
        let main = std::sync::Arc::new(std::sync::Mutex::new(Some(main)));
        let take = |main: &std::sync::Mutex<Option<F>>| {
            main.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
        };
        let for_master = std::sync::Arc::clone(&main);
        self.branch = Some(branch_of(move |master| async move {
            match take(&for_master) {
                Some(main) => exit_by(main(Role::Master(master)).await),
                None => ExitCode::SUCCESS,
            }
        }));
        self.play(move |&()| {
            OnRuntime(move || async move {
                match take(&main) {
                    Some(main) => exit_by(main(Role::Worker(worker::worker())).await),
                    None => ExitCode::SUCCESS,
                }
            })
        })
    }
}

impl<T: 'static> Builder<T> {
    fn play<B: Body>(mut self, main: impl FnOnce(&'static T) -> B) -> ExitCode {
        if let Some(code) = crate::process::private::prologue() {
            return exit(code);
        }
        let init = self.init.take();
        match Part::of_this_process() {
            Err(reason) => exit(complain(EXIT_CONFIG, &[reason])),
            // What `serve` returns in is a worker; the zygote never comes back.
            Ok(Part::Zygote(handover)) => match zygote::serve(&handover, self.preload) {
                Ok((seed, preloaded)) => exit(worker::run(seed, init, main(preloaded))),
                Err(reason) => exit(complain(EXIT_CONFIG, &[not_a_zygote(&reason)])),
            },
            Ok(Part::Master) => exit(self.start_master(init, main)),
        }
    }

    /// The process that the user started: master, or with `workers = 0` everything.
    fn start_master<B: Body>(
        mut self,
        init: Option<Box<dyn FnOnce()>>,
        main: impl FnOnce(&'static T) -> B,
    ) -> i32 {
        // Before anything else is opened.
        let at_start = AtStart::take();
        let (warnings, services) = match self.configure() {
            Ok(configured) => configured,
            Err(mistakes) => return complain(EXIT_CONFIG, &mistakes),
        };
        if let Some(refusal) = ground::refusal(services.is_empty()) {
            return complain(EXIT_CONFIG, &[refusal]);
        }
        if services.is_empty() {
            if self.config.log >= crate::config::LogLevel::Warn {
                complain(0, &warnings);
            }
            // Before `init`, as in a cluster, where that follows the fork.
            return match self.preload.run() {
                Ok(preloaded) => worker::run_solo(&self.config, at_start, init, main(preloaded)),
                Err(reason) => complain(EXIT_PRELOAD, &[reason]),
            };
        }
        let image = match Image::of_this_process() {
            Ok(image) => image,
            Err(error) => {
                let text = format!("start: /proc/self/exe: {error} (/proc has to be mounted)");
                return complain(EXIT_SYSTEM, &[text]);
            }
        };
        master::become_master();
        if let Some(init) = init {
            init();
        }
        let ended = master::run(self.config, services, image, self.branch, warnings, at_start);
        ended.unwrap_or_else(|reason| complain(EXIT_SYSTEM, &[reason]))
    }

    /// Puts the environment over the options; returns warnings and the services, none with `workers = 0`;
    /// or everything that is wrong.
    fn configure(&mut self) -> Result<(Vec<String>, Vec<ServiceConfig>), Vec<String>> {
        let variables: Vec<(String, String)> = std::env::vars_os()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .collect();
        let pairs = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut overrides = self.config.override_from(pairs.clone());
        let mut mistakes = std::mem::take(&mut self.mistakes);
        mistakes.extend(overrides.bad.iter().map(ToString::to_string));
        let services = if self.services.is_empty() {
            Vec::new()
        } else {
            self.resolve_services(&pairs.collect(), &mut overrides.unknown, &mut mistakes)
        };
        if self.config.workers.is_none() && services.is_empty() {
            if let Some(count) = self.workers.take() {
                let count = count();
                if count > WORKERS_MAX {
                    mistakes.push(format!("workers: {count}: at most {WORKERS_MAX}"));
                }
                self.config.workers = Some(count);
            }
        }
        if self.config.blocking && self.config.hang_timeout.is_some() {
            let text =
                "hang_timeout: a blocking main has no runtime, whose task the heartbeat would be";
            mistakes.push(text.to_owned());
        }
        let unknown = overrides.unknown.iter();
        let mut warnings: Vec<String> =
            unknown.map(|name| config::unknown_variable(name)).collect();
        if self.config.workers == Some(0) && self.branch.is_some() {
            warnings
                .push("workers = 0: there is no master, and its branch does not run".to_owned());
        }
        match self.find_credentials() {
            Ok(warning) => warnings.extend(warning),
            Err(mistake) => mistakes.push(mistake),
        }
        if mistakes.is_empty() { Ok((warnings, self.or_only(services))) } else { Err(mistakes) }
    }

    /// The services; of a cluster that names none the only one, and none with `workers = 0`.
    fn or_only(&mut self, services: Vec<ServiceConfig>) -> Vec<ServiceConfig> {
        let workers = self.config.workers.unwrap_or_else(cores);
        if !services.is_empty() || workers == 0 {
            return services;
        }
        self.config.worker_threads.get_or_insert((cores() / workers).max(1));
        vec![ServiceConfig::only(self.config.clone(), workers)]
    }

    /// Looks `user` and `group` up while there is one thread; returns a warning.
    fn find_credentials(&mut self) -> Result<Option<String>, String> {
        let config = &mut self.config;
        let (user, group) = (config.user.as_deref(), config.group.as_deref());
        if user.is_none() && group.is_none() {
            return Ok(None);
        }
        if config.workers == Some(0) {
            // Not refused: it is how the same program runs in a debugger, by somebody who is not root.
            let text =
                "user and group have no effect with workers = 0: main runs as who started it";
            return Ok(Some(text.to_owned()));
        }
        config.credentials = Some(Credentials::resolve(user, group)?);
        Ok(None)
    }
}

/// What a process turns out to be at its start.
enum Part {
    /// The user started it.
    Master,
    /// A master started it.
    Zygote(Handover),
}

impl Part {
    fn of_this_process() -> Result<Self, String> {
        match process::take_handover_variable() {
            None => Ok(Self::Master),
            Some(value) => {
                Handover::decode(&value).map(Self::Zygote).map_err(|reason| not_a_zygote(&reason))
            }
        }
    }
}

fn not_a_zygote(reason: &str) -> String {
    format!(
        "{} is set, but no cluster's master started this process: {reason}; unset it",
        process::HANDOVER_VARIABLE
    )
}

fn branch_of<F, Fut>(branch: F) -> Branch
where
    F: FnOnce(Master) -> Fut + Send + 'static,
    Fut: Future,
    Fut::Output: Termination,
{
    Box::new(move |master| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => worker::exit_code(runtime.block_on(branch(master))),
            Err(error) => complain(EXIT_SYSTEM, &[format!("the master's runtime: {error}")]),
        }
    })
}

/// Any output as one type, with its report done.
fn exit_by(output: impl Termination) -> ExitCode {
    output.report()
}

fn complain(code: i32, lines: &[String]) -> i32 {
    for line in lines {
        // A closed stderr is no reason to panic.
        let _ = writeln!(std::io::stderr(), "cluster: {line}");
    }
    code
}

fn exit(code: i32) -> ExitCode {
    // Codes are those of main, or below 256 by their making.
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1))
}
