//! The option `preload` and what `main` gets by it.
//!
//! Changes the builder's type, so that `main` can only ask for what is made. What runs, and where, is in
//! `crate::preload` and the zygote.

use std::{
    fmt::Display,
    future::Future,
    process::{ExitCode, Termination},
};

use super::Builder;
use crate::{
    preload::{Preload, PreloadFn},
    worker::{OnRuntime, OnThread},
};

impl Builder {
    /// Makes a value once, before the workers are forked: all workers share its memory, copy on write.
    /// `main` takes a reference to it, with [`run_preloaded`](Builder::run_preloaded).
    ///
    /// ```no_run
    /// struct Model(Vec<f32>);
    ///
    /// fn load() -> std::io::Result<Model> {
    ///     Ok(Model(std::fs::read("model")?.into_iter().map(f32::from).collect()))
    /// }
    ///
    /// async fn serve(model: &'static Model) {
    ///     println!("{} numbers", model.0.len());
    /// }
    ///
    /// fn main() -> std::process::ExitCode {
    ///     cluster::Builder::new().preload(load).workers(8).run_preloaded(serve)
    /// }
    /// ```
    ///
    /// `function` runs in the zygote, as the user of the workers, once per generation: at the start, at
    /// each reload, and again if a zygote has to be replaced. With `workers = 0` it runs in this
    /// process. It has a thread of its own, which ends with it: hence `Send`. It may take as long as
    /// [`start_timeout`](Builder::start_timeout), of which up to a second goes to putting its memory into
    /// large pages, which a fork copies faster; meanwhile the old generation serves, or at the start
    /// nobody.
    ///
    /// # Errors
    /// If it gives an `Err`, panics, takes too long, or leaves a thread running or a socket open, the
    /// start fails with exit code 70, or the reload does. The text is in the log, in
    /// [`Event::ZygoteExited`](crate::Event::ZygoteExited) and in what the reload comes to.
    pub fn preload<T, M>(
        self,
        function: impl PreloadFn<T, M, Error: Display> + Send + 'static,
    ) -> Builder<T>
    where
        T: Send + 'static,
    {
        let Self { config, workers, init, branch, services, mut mistakes, .. } = self;
        if !services.is_empty() {
            mistakes.push("preload: it is to be said before the services".to_owned());
        }
        let (preload, runs) = (Preload::new(function), Vec::new());
        Builder { config, preload, workers, init, branch, services, runs, mistakes }
    }

    /// For generated code: the function's value is kept and not given to `main`.
    #[doc(hidden)]
    pub fn preload_only(
        mut self,
        function: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Self {
        self.preload = Preload::new(function);
        self
    }
}

impl<T: 'static> Builder<T> {
    /// Runs the cluster with `main` in every worker, which gets what [`preload`](Builder::preload) made.
    ///
    /// A closure needs to name its parameter's type if the preloaded function returns a `Result`.
    ///
    /// # Exit code
    /// As for [`run`](Self::run).
    pub fn run_preloaded<F, Fut>(self, main: F) -> ExitCode
    where
        F: FnOnce(&'static T) -> Fut,
        Fut: Future,
        Fut::Output: Termination,
    {
        self.play(|preloaded| OnRuntime(move || main(preloaded)))
    }

    /// As [`run_blocking`](Self::run_blocking), with what [`preload`](Builder::preload) made.
    ///
    /// # Exit code
    /// As for [`run_blocking`](Self::run_blocking).
    pub fn run_preloaded_blocking<F, Out>(mut self, main: F) -> ExitCode
    where
        F: FnOnce(&'static T) -> Out,
        Out: Termination,
    {
        self.config.blocking = true;
        self.play(|preloaded| OnThread(move || main(preloaded)))
    }
}
