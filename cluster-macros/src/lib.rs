//! The macros of `cluster-rt`, which re-exports them: use them as `#[cluster::main]`.
//!
//! This file is their documentation, but for the derive's (`message/derive.md`); `attribute` and `message`
//! are where the work begins. Nothing in this crate runs in the user's program, and nothing here reads files
//! or the environment.
#![forbid(unsafe_code)]

mod args;
mod attribute;
mod bytes;
mod check;
mod child;
mod duration;
mod errors;
mod expand;
mod fallback;
mod function;
#[cfg(test)]
mod fuzzing;
mod message;
mod options;
mod recycle;
mod value;

/// Makes an `async fn main` the program of a supervised cluster of worker processes.
///
/// The process that was started becomes the *master*: it starts the workers, watches over them and
/// owns the listening sockets. Each *worker* is a process with a tokio runtime that runs `main`.
///
/// ```ignore
/// #[cluster::main(workers = 4, respawn)]
/// async fn main() -> std::io::Result<()> {
///     let listener = cluster::TcpListener::bind("127.0.0.1:8080").await?;
///     serve(listener).await
/// }
/// ```
///
/// # The function
///
/// It is called `main` and is `async`, without generics. It returns anything that implements
/// [`Termination`](std::process::Termination): nothing, a `Result`, an `ExitCode`, `!`. Attributes
/// of another runtime, such as `#[tokio::main]`, are to be removed.
///
/// Without a parameter, or with a reference to what `preload` makes, it is what every worker runs. With
/// one of type `cluster::Role`, it runs in
/// the master as well and asks where it is:
///
/// ```ignore
/// #[cluster::main(workers = 4, respawn)]
/// async fn main(role: cluster::Role) -> std::io::Result<()> {
///     match role {
///         cluster::Role::Master(master) => watch(master).await,
///         cluster::Role::Worker(worker) => serve(worker).await,
///     }
/// }
/// ```
///
/// # Options
///
/// All are optional. A duration is written in quotes, as numbers with units: `"250ms"`, `"25s"`,
/// `"1h30m"`, `"1.5s"`.
///
/// Where a variable is named below, it overrides the option when the program is started, so that
/// an operator can tune it without a build. A bad value stops the start with exit code 78 and says
/// what is allowed.
///
/// ## `workers = EXPR`
///
/// The number of workers: a literal or any expression of type `usize`. It is evaluated once, in
/// the master alone. `0` runs `main` in the process that was started, as the worker of slot 0,
/// for debuggers and small deployments. Default: the parallelism available to the process (at
/// least 1; limits of a control group count). Variable: `CLUSTER_WORKERS=8`.
///
/// ```ignore
/// #[cluster::main(workers = 2 * num_cpus())]
/// ```
///
/// ## `respawn`, `respawn = "always" | "on-failure" | "never"`
///
/// What follows a worker's exit. `"always"`, or the bare name: a new worker in the same slot.
/// `"on-failure"`: a new worker, unless `main` ended with exit code 0. `"never"`: nothing.
/// Default: `"never"`. Variable: `CLUSTER_RESPAWN=on-failure`.
///
/// ```ignore
/// #[cluster::main(respawn = "on-failure")]
/// ```
///
/// ## `backoff = "FIRST..LONGEST"`
///
/// The delay before a slot's next worker when its last one failed to start, or crashed within a
/// second of being ready. It starts at `FIRST` (above zero) and grows up to `LONGEST`; after any
/// other exit, a respawn is immediate. Default: `"100ms..30s"`. Variable:
/// `CLUSTER_BACKOFF=50ms..5s`.
///
/// ```ignore
/// #[cluster::main(respawn, backoff = "50ms..5s")]
/// ```
///
/// ## `give_up = N`
///
/// How many failed starts in a row, with no worker ready, end the cluster with exit code 70: a
/// whole number, at least 1. A cluster that can start workers never gives up. Default: `5`.
/// Variable: `CLUSTER_GIVE_UP=10`.
///
/// ```ignore
/// #[cluster::main(respawn, give_up = 10)]
/// ```
///
/// ## `grace = "DURATION"`
///
/// How long a worker may take to drain, that is, to finish the connections it has after it was
/// asked to stop. Then it is killed. Default: `"25s"`, which is below the 30 s of Kubernetes.
/// Variable: `CLUSTER_GRACE=5s`.
///
/// ```ignore
/// #[cluster::main(grace = "5s")]
/// ```
///
/// ## `stop_delay = "DURATION"`
///
/// How long the cluster goes on accepting after it was asked to stop, so that a load balancer can
/// take notice first. Default: `"0s"`. Variable: `CLUSTER_STOP_DELAY=5s`.
///
/// ```ignore
/// #[cluster::main(stop_delay = "5s")]
/// ```
///
/// ## `start_timeout = "DURATION"`
///
/// How long a worker may take from its spawn to being ready, above zero. One that takes longer has
/// failed to start. A `preload` may take as long, too. Default: `"60s"`. Variable: `CLUSTER_START_TIMEOUT=2m`.
///
/// ```ignore
/// #[cluster::main(start_timeout = "2m")]
/// ```
///
/// ## `hang_timeout = "DURATION"`
///
/// How old a worker's last heartbeat may be, at least `"100ms"`. Its runtime beats as long as `main`
/// and its tasks give way; one that is blocked for longer counts as hung, is killed and, with
/// `respawn`, replaced. Default: nobody watches. Variable: `CLUSTER_HANG_TIMEOUT=30s`, or `off`.
///
/// ```ignore
/// #[cluster::main(respawn, hang_timeout = "30s")]
/// ```
///
/// ## `recycle(connections = N, age = "DURATION", rss = "BYTES", jitter = PART)`
///
/// Limits past which a worker that still works is replaced, at least one of the three: how many
/// connections it was given, how long ago it was ready, how much memory is resident in it. The
/// replacement comes first, one at a time; then the worker drains. Bytes are written in quotes with
/// their unit: `B`, `KiB`, `MiB`, `GiB`, `KB`, `MB`, `GB`. Each worker's own limits are drawn between
/// `1.0 - jitter` times the limit and the limit, so that workers which began together do not end
/// together: a number from 0.0 to 1.0, by default `0.1`. Default: nothing is recycled. Variables:
/// `CLUSTER_RECYCLE_CONNECTIONS=10000`, `CLUSTER_RECYCLE_AGE=1h`, `CLUSTER_RECYCLE_RSS=512MiB`, each or
/// `off`, and `CLUSTER_RECYCLE_JITTER=0.1`.
///
/// ```ignore
/// #[cluster::main(recycle(age = "24h", rss = "512MiB"))]
/// ```
///
/// ## `surplus = N`
///
/// How many workers above their number a reload may run at once, new ones that start and old ones that
/// still drain: a whole number from 1 to 512. Default: `1`. Variable: `CLUSTER_SURPLUS=2`.
///
/// ```ignore
/// #[cluster::main(workers = 8, surplus = 4)]
/// ```
///
/// ## `schedule = "round-robin" | "least-connections" | "sticky" | "shared" | "kernel"`
///
/// How listeners that do not say their own (`ListenOptions::schedule`) share their connections: in
/// turn, to who has fewest, by the client's address, from one socket, or from a socket for each slot
/// among which the kernel chooses. Default: `"round-robin"`. Variable: `CLUSTER_SCHEDULE=kernel`.
///
/// ```ignore
/// #[cluster::main(workers = 4, schedule = "least-connections")]
/// ```
///
/// ## `user = "NAME"`, `group = "NAME"`
///
/// Whom workers and zygote run as, by name or number; the master stays who it is, keeps the sockets
/// and has to be root (or to have CAP_SETUID, CAP_SETGID and CAP_KILL). With `user` come its
/// supplementary groups and, without `group`, its group. A name that does not exist stops the start with exit code
/// 78. The environment stays as it is, `HOME` too. With `workers = 0` they have no effect. Default:
/// whoever started the program. Variables: `CLUSTER_USER=www`, `CLUSTER_GROUP=33`, or empty for nobody
/// else.
///
/// ```ignore
/// #[cluster::main(user = "www", group = "www")]
/// ```
///
/// ## `flavor = "current_thread" | "local" | "multi_thread"`
///
/// The tokio runtime of each worker. `"current_thread"`: one thread. `"local"`: one thread, and
/// `tokio::task::spawn_local` works everywhere in it. `"multi_thread"`: several threads that share
/// the tasks. Default: `"current_thread"`, since the workers are the parallelism. Variable:
/// `CLUSTER_FLAVOR=multi_thread`.
///
/// ```ignore
/// #[cluster::main(workers = 2, flavor = "multi_thread")]
/// ```
///
/// ## `worker_threads = N`
///
/// The threads of each worker's runtime: a whole number, at least 1, and only with
/// `flavor = "multi_thread"`. Default: the available parallelism divided by the workers. Variable:
/// `CLUSTER_WORKER_THREADS=4`.
///
/// ```ignore
/// #[cluster::main(workers = 2, flavor = "multi_thread", worker_threads = 4)]
/// ```
///
/// ## `pin`
///
/// Keeps the worker of slot n, with all its threads and what it starts, on the n-th of the processors
/// that the cluster may use (affinity, cpuset), in the kernel's order and round again where there are
/// more slots. With `flavor = "multi_thread"` a worker's threads then share one processor. The kernel's
/// order is not always that of memory: consecutive numbers may lie on different NUMA nodes; to choose
/// nodes, start the program under `taskset` or `numactl`. Default: the kernel moves workers about.
/// Variable: `CLUSTER_PIN=on`, or `off`.
///
/// ```ignore
/// #[cluster::main(workers = 4, pin)]
/// ```
///
/// ## `blocking`
///
/// `fn main()` is not `async` and runs on the worker's main thread without a runtime; it listens with
/// `cluster::blocking::TcpListener`, whose `incoming()` ends at a drain. Not together with `flavor`,
/// `worker_threads`, `hang_timeout` or a `Role`. Default: `main` is `async`. No variable.
///
/// ```ignore
/// #[cluster::main(workers = 4, respawn, blocking)]
/// fn main() -> std::io::Result<()> { /* .. */ }
/// ```
///
/// ## `init = PATH`
///
/// A `fn()` that runs first in the master and in each worker, to set up tracing for example.
/// Default: none. No variable.
///
/// ```ignore
/// fn setup() {
///     tracing_subscriber::fmt::init();
/// }
///
/// #[cluster::main(init = setup)]
/// ```
///
/// ## `master = PATH`
///
/// The master's own branch as a function: an `async fn` that takes a `cluster::Master` and returns
/// what `main` may return. When it ends well, the master goes on; when it fails or panics, the
/// cluster stops. Not together with a `Role` parameter, which is the other way to say the same.
/// Default: none. No variable.
///
/// ```ignore
/// async fn watch(master: cluster::Master) { /* .. */ }
///
/// #[cluster::main(respawn, master = watch)]
/// ```
///
/// ## `preload = PATH`
///
/// A function that makes what all workers share: `fn() -> T`, or `fn() -> Result<T, E>` where `E` can
/// be printed. It runs once per generation, in the zygote, before the first worker is forked from it;
/// a worker then has the value in the very memory it was made in, until somebody writes there. `main`
/// takes a `&T` or `&'static T`, or nothing if the function only warms up what is `static`.
///
/// ```ignore
/// fn load() -> std::io::Result<Model> { /* .. */ }
///
/// #[cluster::main(workers = 8, respawn, preload = load)]
/// async fn main(model: &'static Model) { /* .. */ }
/// ```
///
/// `T` has to be `Send`, since the function has a thread of its own, which ends with it. The function
/// runs as the `user` of the workers, again at each reload, and again if the zygote has to be
/// replaced; with `workers = 0` in the process that was started. `init` has not run in the zygote.
///
/// The start fails with exit code 70, and a reload leaves the old generation serving, if the function
/// gives an `Err`, panics or takes longer than `start_timeout`, or if it leaves a thread running or a
/// socket open: a thread would not exist in the workers, and a socket would be one for all of them.
///
/// What is written to is shared no more, page by page: counters in it, and reference counts too, so
/// better pass `&T` around than clone an `Arc` that is in it.
///
/// Not together with a `Role` parameter, since the master has no such value; the master's branch is
/// then the function named by `master = watch`. Default: none. No variable.
///
/// ## `crate = PATH`, `crate = "PATH"`
///
/// Where the generated code finds this crate, if the dependency is renamed or re-exported.
/// Default: `::cluster`. No variable.
///
/// ```ignore
/// use ::cluster as rt;
///
/// #[rt::main(crate = rt)]
/// ```
///
/// # The same without the attribute
///
/// The attribute is short for calls on `cluster::Builder`, one for each option given. This
///
/// ```ignore
/// #[cluster::main(workers = 4, respawn, grace = "5s", init = setup)]
/// async fn main() -> std::io::Result<()> {
///     serve().await
/// }
/// ```
///
/// is
///
/// ```ignore
/// fn main() -> std::process::ExitCode {
///     async fn main() -> std::io::Result<()> {
///         serve().await
///     }
///     cluster::Builder::new()
///         .workers_with(|| 4)
///         .respawn(cluster::Respawn::Always)
///         .grace(std::time::Duration::from_secs(5))
///         .init(setup)
///         .run(main)
/// }
/// ```
///
/// and with a `Role` parameter, the last call is `.run_roles(main)`; with a `preload` that `main` takes,
/// the last two are `.preload(load).run_preloaded(main)`. The attributes and the
/// visibility of `main` are those of the outer function.
// The test harness calls its own entry point `main`, and takes this one for it:
// https://github.com/rust-lang/rust/issues/62127
#[cfg(not(test))]
#[proc_macro_attribute]
pub fn main(
    args: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    attribute::expand(args.into(), &item.into()).into()
}

/// Marks an `async fn` that can run in a process of its own, by `cluster::process::fork`.
///
/// ```ignore
/// use cluster::{ClusterMessage, process};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, ClusterMessage)]
/// struct Tick(u64);
///
/// #[derive(Serialize, Deserialize, ClusterMessage)]
/// enum Order { Pause, Stop }
///
/// #[cluster::child]
/// async fn counter(mut parent: process::Parent<Tick, Order>) {
///     for n in 0.. {
///         parent.send(&Tick(n)).await.ok();
///     }
/// }
///
/// let mut counter = process::fork(counter).await?;
/// ```
///
/// # The function
///
/// It is `async`, without generics, and takes one parameter: a `Parent<Out, In>`, by which it sends `Out` to
/// its parent and receives `In` from it. It returns anything that implements
/// [`Termination`](std::process::Termination), which becomes the exit code.
///
/// Its name stays that of a function; called, it is a future that runs here and needs a `Parent`.
///
/// # Options
///
/// `crate = path` for a renamed dependency.
#[proc_macro_attribute]
pub fn child(
    args: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    child::run(args.into(), item.into()).into()
}

#[doc = include_str!("message/derive.md")]
#[proc_macro_derive(ClusterMessage, attributes(message))]
pub fn derive_cluster_message(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    message::expand(input.into()).into()
}
