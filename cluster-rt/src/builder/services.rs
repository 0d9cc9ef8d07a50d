//! Services in code: several kinds of workers in one cluster, each an async function with a name.
//!
//! What a service is and how it runs, until the supervisor has them as plain values. Which process runs
//! which is decided elsewhere: a worker is told the name of its service by the master.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    process::{ExitCode, Termination},
    time::Duration,
};

use super::{Builder, branch_of};
use crate::{
    config::{Config, Flavor, Recycle, Respawn, ServiceConfig, WORKERS_MAX, variable_name},
    endpoint::Schedule,
    master::Master,
    worker::{Body, OfServices, OnRuntime, Run, cores},
};

/// A function that can be a service: `async fn()`, or with [`preload`](Builder::preload) also
/// `async fn(&'static T)`. Closures too.
///
/// `Marker` tells the two apart and is always inferred. Implemented for functions; there is no use in
/// implementing it for something else.
#[diagnostic::on_unimplemented(
    message = "this function cannot be a service",
    label = "a service is an `async fn` without a parameter, or with a reference to what `preload` makes",
    note = "it returns what a `main` can return: nothing, a `Result`, an `ExitCode`, `!`"
)]
pub trait Entry<T: 'static, Marker> {
    /// What it comes to.
    #[doc(hidden)]
    type Output: Termination;

    /// Calls the function.
    #[doc(hidden)]
    fn begin(self, preloaded: &'static T) -> impl Future<Output = Self::Output>;
}

/// Marks functions that take nothing.
#[derive(Debug)]
pub struct Alone(());

/// Marks functions that take what was preloaded.
#[derive(Debug)]
pub struct WithPreloaded(());

impl<T: 'static, F, Fut> Entry<T, Alone> for F
where
    F: FnOnce() -> Fut,
    Fut: Future<Output: Termination>,
{
    type Output = Fut::Output;

    fn begin(self, _: &'static T) -> impl Future<Output = Fut::Output> {
        self()
    }
}

impl<T: 'static, F, Fut> Entry<T, WithPreloaded> for F
where
    F: FnOnce(&'static T) -> Fut,
    Fut: Future<Output: Termination>,
{
    type Output = Fut::Output;

    fn begin(self, preloaded: &'static T) -> impl Future<Output = Fut::Output> {
        self(preloaded)
    }
}

/// What one service has for itself; everything else is as the cluster has it.
///
/// A variable of a service has its name in capitals at the end (`CLUSTER_GRACE_WEB=5s`) and is stronger than
/// what is said here, which is stronger than a variable without it (`CLUSTER_GRACE=5s`).
#[must_use = "it is what the closure given to `Builder::service` returns"]
#[derive(Default)]
pub struct ServiceOptions {
    /// Each is an option of the cluster's, with its checks.
    changes: Vec<Box<dyn FnOnce(Builder) -> Builder>>,
    optional: bool,
    after: Vec<&'static str>,
}

impl fmt::Debug for ServiceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { optional, after, .. } = self;
        let mut debug = f.debug_struct("ServiceOptions");
        debug.field("optional", optional).field("after", after).finish_non_exhaustive()
    }
}

impl ServiceOptions {
    fn then(mut self, change: impl FnOnce(Builder) -> Builder + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// The number of its workers, at least 1; all services together have at most 512. Default: the cores
    /// that this process may use.
    pub fn workers(self, count: usize) -> Self {
        self.workers_with(move || count)
    }

    /// The number of its workers as an expression that is evaluated in the master only.
    pub fn workers_with(self, count: impl FnOnce() -> usize + 'static) -> Self {
        self.then(|builder| builder.workers_with(count))
    }

    /// As [`Builder::respawn`].
    pub fn respawn(self, respawn: Respawn) -> Self {
        self.then(move |builder| builder.respawn(respawn))
    }

    /// As [`Builder::backoff`].
    pub fn backoff(self, first: Duration, longest: Duration) -> Self {
        self.then(move |builder| builder.backoff(first, longest))
    }

    /// After this many failed starts in a row, while no worker of the service is ready, it has given up. The
    /// cluster then exits with 70, unless the service is [`optional`](Self::optional).
    pub fn give_up(self, failed_starts: u32) -> Self {
        self.then(move |builder| builder.give_up(failed_starts))
    }

    /// As [`Builder::grace`].
    pub fn grace(self, grace: Duration) -> Self {
        self.then(move |builder| builder.grace(grace))
    }

    /// As [`Builder::start_timeout`], but for a preload, which is of the whole cluster.
    pub fn start_timeout(self, timeout: Duration) -> Self {
        self.then(move |builder| builder.start_timeout(timeout))
    }

    /// As [`Builder::hang_timeout`].
    pub fn hang_timeout(self, timeout: Duration) -> Self {
        self.then(move |builder| builder.hang_timeout(timeout))
    }

    /// As [`Builder::recycle`].
    pub fn recycle(self, recycle: Recycle) -> Self {
        self.then(move |builder| builder.recycle(recycle))
    }

    /// As [`Builder::schedule`].
    pub fn schedule(self, schedule: Schedule) -> Self {
        self.then(move |builder| builder.schedule(schedule))
    }

    /// As [`Builder::flavor`].
    pub fn flavor(self, flavor: Flavor) -> Self {
        self.then(move |builder| builder.flavor(flavor))
    }

    /// As [`Builder::worker_threads`]. Default: cores divided by the workers of all services.
    pub fn worker_threads(self, threads: usize) -> Self {
        self.then(move |builder| builder.worker_threads(threads))
    }

    /// The cluster can do without this service: when it gives up, the others go on, and it is tried again
    /// at the next reload or when it is scaled up. Default: the cluster ends with 70.
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Begins when a worker of that service is ready, or when it has given up or ended; and drains at a
    /// stop before that service does, which goes on until the last of these workers has ended. Each then has
    /// its own [`grace`](Self::grace), so that a stop may take their sum. May be said of several.
    pub fn after(mut self, service: &'static str) -> Self {
        self.after.push(service);
        self
    }
}

/// A service as it was given.
#[derive(Debug)]
pub(super) struct Given {
    name: &'static str,
    options: ServiceOptions,
}

/// How each service runs once there is what was preloaded, by name.
pub(super) type Runs<T> = Vec<(&'static str, Box<dyn FnOnce(&'static T) -> Run>)>;

impl<T: 'static> Builder<T> {
    /// Adds a kind of workers: `function` runs in each of them, by the rules of `options`. With a service,
    /// `main` is the master's, given to [`run_master`](Self::run_master).
    ///
    /// ```no_run
    /// async fn web() -> std::io::Result<()> {
    ///     let listener = cluster::TcpListener::bind("127.0.0.1:8080").await?;
    ///     // accept, and ask the workers of `jobs`
    ///     Ok(())
    /// }
    ///
    /// async fn jobs() {
    ///     // answer what is asked
    /// }
    ///
    /// fn main() -> std::process::ExitCode {
    ///     cluster::Builder::new()
    ///         .respawn(cluster::Respawn::Always)
    ///         .service("web", web, |options| options.workers(4).after("jobs"))
    ///         .service("jobs", jobs, |options| options.workers(2))
    ///         .run_master(async |_master| {})
    /// }
    /// ```
    ///
    /// The name is what [`Address::Service`](crate::Address::Service),
    /// [`Worker::service`](crate::Worker::service), [`Master::scale_service`](crate::Master::scale_service),
    /// the log and the variables call it. Slots are numbered through all services, in the order in which
    /// these are added. Listeners are a service's own: where another has bound, a bind fails with
    /// `AddrInUse`, as in another program; port 0 is another port for each.
    ///
    /// To be called after [`preload`](Builder::preload).
    pub fn service<M>(
        mut self,
        name: &'static str,
        function: impl Entry<T, M> + 'static,
        options: impl FnOnce(ServiceOptions) -> ServiceOptions,
    ) -> Self {
        self.services.push(Given { name, options: options(ServiceOptions::default()) });
        let run = move |preloaded: &'static T| -> Run {
            Box::new(move |current, setting| {
                OnRuntime(move || function.begin(preloaded)).run(current, setting)
            })
        };
        self.runs.push((name, Box::new(run)));
        self
    }

    /// Runs the cluster with its services, and `main` once in the master, on a thread and runtime of its
    /// own. When it ends well the cluster goes on; when it ends with an error or panics, the cluster stops
    /// gracefully and ends with that exit code.
    ///
    /// # Exit code
    /// As for [`run`](Self::run).
    pub fn run_master<F, Fut>(mut self, main: F) -> ExitCode
    where
        F: FnOnce(Master) -> Fut + Send + 'static,
        Fut: Future,
        Fut::Output: Termination,
    {
        if self.branch.is_some() {
            let text = "master: with `run_master` the master's branch is what that is given";
            self.mistakes.push(text.to_owned());
        }
        if self.services.is_empty() {
            self.mistakes.push("run_master: there are no workers: add a `service`".to_owned());
        }
        self.branch = Some(branch_of(main));
        let runs = std::mem::take(&mut self.runs);
        self.play(move |preloaded| {
            let run = |(name, run): (_, Box<dyn FnOnce(&'static T) -> Run>)| (name, run(preloaded));
            OfServices(runs.into_iter().map(run).collect())
        })
    }

    /// The services as plain values, with what `variables` say; those that mean nothing stay in `unknown`.
    pub(super) fn resolve_services(
        &mut self,
        variables: &BTreeMap<&str, &str>,
        unknown: &mut Vec<String>,
        mistakes: &mut Vec<String>,
    ) -> Vec<ServiceConfig> {
        let given = std::mem::take(&mut self.services);
        let names: Vec<&str> = given.iter().map(|given| given.name).collect();
        check_names(&names, mistakes);
        if !self.runs.is_empty() {
            let text = "service: with services `main` is the master's: run it with `run_master`";
            mistakes.push(text.to_owned());
        }
        if self.config.workers.is_some() || self.workers.is_some() {
            mistakes.push(no_workers_of_all(self.config.workers, names[0]));
        }
        let mut services: Vec<ServiceConfig> =
            given.into_iter().map(|given| resolve(given, &self.config, &names, mistakes)).collect();
        unknown.retain(|name| {
            let value = variables.get(name.as_str()).copied().unwrap_or_default();
            let set = |service: &mut ServiceConfig| match service.set(name, value) {
                Ok(known) => known,
                Err(bad) => {
                    mistakes.push(bad.to_string());
                    true
                }
            };
            !services.iter_mut().any(set)
        });
        for (at, service) in services.iter().enumerate() {
            if waits_for_itself(&services, at) {
                mistakes.push(format!("service {}: `after` leads back to it", names[at]));
            }
            if service.workers == 0 {
                let text = "workers: 0: a service has at least one";
                mistakes.push(format!("service {}: {text}", names[at]));
            }
        }
        let all = services.iter().fold(0_usize, |sum, service| sum.saturating_add(service.workers));
        if all > WORKERS_MAX {
            mistakes.push(format!("workers: {all} of all services: at most {WORKERS_MAX}"));
        }
        let threads = (cores() / all.max(1)).max(1);
        for service in &mut services {
            service.rules.worker_threads.get_or_insert(threads);
        }
        services
    }
}

fn resolve(
    given: Given,
    rules: &Config,
    names: &[&str],
    mistakes: &mut Vec<String>,
) -> ServiceConfig {
    let Given { name, options: ServiceOptions { changes, optional, after } } = given;
    let mut builder = Builder::new();
    builder.config = rules.clone();
    let mut builder = changes.into_iter().fold(builder, |builder, change| change(builder));
    let wrong = builder.mistakes.drain(..);
    mistakes.extend(wrong.map(|mistake| format!("service {name}: {mistake}")));
    let workers = builder.workers.take().map_or_else(cores, |count| count());
    let mut places = Vec::new();
    for other in after {
        match names.iter().position(|name| *name == other) {
            Some(place) => places.push(place),
            None => mistakes.push(format!(
                "service {name}: after: {other:?}: there is no such service; there are {}",
                names.join(", ")
            )),
        }
    }
    ServiceConfig { name: Some(name), workers, rules: builder.config, optional, after: places }
}

/// Names are told apart in variables too.
fn check_names(names: &[&str], mistakes: &mut Vec<String>) {
    for (at, name) in names.iter().enumerate() {
        let variable = variable_name(name);
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            mistakes.push(format!("service {name:?}: a name has 1 to {NAME_BYTES_MAX} bytes"));
        } else if let Some(other) = names[..at].iter().find(|n| variable_name(n) == variable) {
            mistakes.push(match other == name {
                true => format!("service {name}: it is given twice"),
                false => format!("service {name}: its variables would be those of {other}"),
            });
        }
    }
}

/// It goes into a frame and into every line about its workers.
const NAME_BYTES_MAX: usize = 64;

fn no_workers_of_all(workers: Option<usize>, example: &str) -> String {
    let variable = variable_name(example);
    match workers {
        Some(0) => {
            "workers: 0: that runs `main` alone in this process, and with services `main` is the \
                    master's: there would be no worker"
                .to_owned()
        }
        _ => format!(
            "workers: each service has its own number: the option `workers` of a service, or \
             CLUSTER_WORKERS_{variable}"
        ),
    }
}

fn waits_for_itself(services: &[ServiceConfig], start: usize) -> bool {
    let mut seen = vec![false; services.len()];
    let mut ahead = services[start].after.clone();
    while let Some(at) = ahead.pop() {
        if at == start {
            return true;
        }
        if !std::mem::replace(&mut seen[at], true) {
            ahead.extend(&services[at].after);
        }
    }
    false
}
