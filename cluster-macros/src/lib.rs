//! The macros of `cluster-rt`, which re-exports them: use them as `#[cluster::main]`.
//!
//! This file is their documentation; `attribute` and `message` are where the work begins. Nothing in this crate
//! runs in the user's program, and nothing here reads files or the environment.
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
/// Without a parameter, it is what every worker runs. With one of type `cluster::Role`, it runs in
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
/// failed to start. Default: `"60s"`. Variable: `CLUSTER_START_TIMEOUT=2m`.
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
/// and with a `Role` parameter, the last call is `.run_roles(main)`. The attributes and the
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

/// Makes a type a message, which can be sent from one process of the cluster to another.
///
/// It stands beside serde's two derives, on a struct or an enum, generic or not:
///
/// ```ignore
/// use cluster::ClusterMessage;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, ClusterMessage)]
/// enum News {
///     Rate(u32),
///     Notice { text: String },
/// }
///
/// #[derive(Serialize, Deserialize, ClusterMessage)]
/// #[message(reply = Result<u32, String>)]
/// struct StockOf {
///     article: Article,
/// }
/// ```
///
/// It implements `cluster::ClusterMessage`, `cluster::Shape` and, with `reply`, `cluster::ClusterRequest`.
/// Every field that is sent needs a `Shape` as well: the types of std have one, a type of your own gets
/// it by this derive, and one of another crate is taken as unchanging with `opaque`. A parameter `T` of a
/// generic type gets the bound `T: Shape`, as serde's derives give it theirs.
///
/// # Options
///
/// All are optional.
///
/// ## `#[message(reply = TYPE)]`
///
/// What a request of this type is answered with. Default: it has no answer.
///
/// ## `#[message(name = "NAME")]`
///
/// The name by which receivers know the type. Default: the module's path and the type's name. Set it
/// for a type that may move to another module while an older build is running.
///
/// ## `#[message(opaque(PATH, ..))]`
///
/// Types of other crates, taken as unchanging wherever a field contains them; the rest of the field is
/// still looked at. Each is written as in the fields, with or without the path before it; without
/// arguments it stands for the type with any.
///
/// ```ignore
/// #[derive(Serialize, Deserialize, ClusterMessage)]
/// #[message(opaque(uuid::Uuid))]
/// struct Carts(HashMap<Uuid, Vec<Article>>);
/// ```
///
/// ## `#[message(opaque)]` on a field
///
/// The whole field is taken as unchanging, whatever is in it. A change of its layout that leaves the
/// type's name as it is then goes unnoticed, and two builds may misread each other.
///
/// ## `#[message(crate = PATH)]`, `#[message(crate = "PATH")]`
///
/// Where the generated code finds this crate. Default: `::cluster`.
///
/// # Serde's attributes
///
/// Messages are encoded by postcard, which writes neither names nor types. What needs them is refused:
/// `flatten`, `untagged`, `tag`, `content`, `other`, `skip_serializing_if`, `borrow`, `skip_serializing`
/// or `skip_deserializing` alone on a field, and `skip` on a variant that others follow.
///
/// The rest may be used and is part of the shape, as it is written. `default` fills a field that is
/// skipped; a field that is not is always sent, so there it has no effect. A field with `with`,
/// `serialize_with` or `deserialize_with` needs a shape as any other, or `opaque`. With `into` the type
/// that is written in place of this one counts, not the fields.
///
/// What a hand-written `Serialize` writes cannot be seen: when it changes, change the message's name.
#[proc_macro_derive(ClusterMessage, attributes(message))]
pub fn derive_cluster_message(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    message::expand(input.into()).into()
}
