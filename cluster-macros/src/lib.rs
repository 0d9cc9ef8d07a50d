//! The macros of `cluster-rt`, which re-exports them: use them as `#[cluster::main]`.
//!
//! This file is their documentation, but for the options' (`options.md`) and the derive's (`message/derive.md`);
//! `attribute` and `message` are where the work begins. Nothing in this crate runs in the user's program, and nothing
//! here reads files or the environment.
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
mod services;
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
#[doc = include_str!("options.md")]
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
