//! `preload`: a value that is made before the workers are forked, and which they then share.
//!
//! Runs the user's function and words its failure; where that happens, and what may be left of it, is
//! the zygote's. Invariant: the function has run on a thread that has ended, so that nothing of that
//! thread (hash keys, locals) is the same in two workers.

use std::{any::Any, convert::Infallible, fmt::Display, marker::PhantomData, thread};

/// A function that can be preloaded to make a `T`: `fn() -> T`, or `fn() -> Result<T, E>` with an `E`
/// that can be printed. Closures too.
///
/// `Marker` tells the two apart and is always inferred. Implemented for functions; there is no use in
/// implementing it for something else.
#[diagnostic::on_unimplemented(
    message = "this function cannot be preloaded",
    label = "`preload` takes a `fn() -> T` or a `fn() -> Result<T, E>`",
    note = "`T` is what `main` takes a reference to, as in `async fn main(model: &'static T)`"
)]
pub trait PreloadFn<T, Marker> {
    /// What it fails with.
    // Not a condition of the implementation, so that the compiler names the error that lacks it.
    #[doc(hidden)]
    type Error;

    /// The value, or why there is none.
    #[doc(hidden)]
    fn load(self) -> Result<T, Self::Error>;
}

/// Marks functions that cannot fail.
#[derive(Debug)]
pub struct Plain(());

/// Marks functions that give a `Result` with the error `E`.
#[derive(Debug)]
pub struct Fallible<E>(PhantomData<E>);

impl<T, F: FnOnce() -> T> PreloadFn<T, Plain> for F {
    type Error = Infallible;

    fn load(self) -> Result<T, Infallible> {
        Ok(self())
    }
}

impl<T, E, F: FnOnce() -> Result<T, E>> PreloadFn<T, Fallible<E>> for F {
    type Error = E;

    fn load(self) -> Result<T, E> {
        self()
    }
}

/// What generated code makes of a function whose value nobody takes: the value is kept, since something
/// may hang on it, and a `Result` counts as one.
#[derive(Debug)]
pub struct Kept<R>(pub R);

/// An error of a kept `Result`. For the reference, so that it comes before [`KeptValue`] in the search
/// for a method, which ends at the first that fits the type.
pub trait KeptResult<E> {
    /// Whether it went well.
    ///
    /// # Errors
    /// The error's text.
    fn outcome(self) -> Result<(), String>
    where
        E: Display;
}

impl<T, E> KeptResult<E> for &Kept<Result<T, E>> {
    fn outcome(self) -> Result<(), String>
    where
        E: Display,
    {
        self.0.as_ref().map(drop).map_err(worded)
    }
}

/// Any other kept value. For a reference to the reference: see [`KeptResult`].
pub trait KeptValue {
    /// It went well.
    ///
    /// # Errors
    /// Never.
    fn outcome(self) -> Result<(), String>;
}

impl<R> KeptValue for &&Kept<R> {
    fn outcome(self) -> Result<(), String> {
        Ok(())
    }
}

/// The longest text of an error; a frame has room for more.
const ERROR_BYTES_MAX: usize = 8 * 1024;

/// The stack of the thread: what a main thread usually has, since that is where the user would have run
/// the function.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// The error with its causes, where its type prints them (as `anyhow`'s does).
fn worded(error: &impl Display) -> String {
    cut(format!("{error:#}"))
}

fn cut(mut text: String) -> String {
    let end = (0..=ERROR_BYTES_MAX.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    text.truncate(end.unwrap_or(0));
    text
}

/// What is to be preloaded, if anything is.
pub(crate) enum Preload<T: 'static> {
    /// Nothing: there is a value without a function.
    Nothing(T),
    /// This, which gives a value that is never dropped: workers refer to it until they end.
    Function(Box<dyn FnOnce() -> Result<&'static T, String>>),
}

impl<T: 'static> Preload<T> {
    pub(crate) fn new<M>(function: impl PreloadFn<T, M, Error: Display> + Send + 'static) -> Self
    where
        T: Send,
    {
        let load = || function.load().map(Box::new).map_err(|error| worded(&error));
        Self::Function(Box::new(|| on_a_thread(load).map(|value| &*Box::leak(value))))
    }

    /// Makes the value.
    ///
    /// # Errors
    /// What went wrong, in words that name the option.
    pub(crate) fn run(self) -> Result<&'static T, String> {
        match self {
            Self::Nothing(value) => Ok(Box::leak(Box::new(value))),
            Self::Function(load) => load(),
        }
    }
}

/// Runs `load` on a thread and waits for its end.
fn on_a_thread<T: Send + 'static>(
    load: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let thread = thread::Builder::new().name("preload".to_owned()).stack_size(STACK_BYTES);
    let thread = thread.spawn(load).map_err(|error| format!("preload: thread: {error}"))?;
    match thread.join() {
        Ok(outcome) => outcome.map_err(|error| format!("preload: {error}")),
        Err(payload) => Err(cut(format!("preload panicked: {}", panic_text(&*payload)))),
    }
}

/// What `panic!` was given, if that was a text.
fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T: Send + 'static, M>(
        function: impl PreloadFn<T, M, Error: Display> + Send + 'static,
    ) -> Result<&'static T, String> {
        Preload::new(function).run()
    }

    #[test]
    fn a_value_and_an_ok_are_the_value() {
        assert_eq!(run(|| 7), Ok(&7));
        assert_eq!(run::<i32, _>(|| Ok::<_, String>(7)), Ok(&7));
        assert_eq!(Preload::Nothing(()).run(), Ok(&()));
    }

    #[test]
    fn failures_say_what_they_are_and_end_somewhere() {
        assert_eq!(run::<(), _>(|| Err("no model")), Err("preload: no model".to_owned()));
        let panicked = run(|| -> i32 { panic!("at {}", "once") });
        assert_eq!(panicked, Err("preload panicked: at once".to_owned()));
        let long = run::<(), _>(|| Err("\u{e4}".repeat(ERROR_BYTES_MAX))).expect_err("an error");
        assert!(long.len() <= ERROR_BYTES_MAX + 20 && long.ends_with('\u{e4}'), "{}", long.len());
    }

    #[test]
    fn of_a_kept_value_only_a_result_can_fail() {
        assert_eq!((&Kept(Err::<(), _>("no model"))).outcome(), Err("no model".to_owned()));
        assert_eq!((&Kept(Ok::<_, String>(7))).outcome(), Ok(()));
        assert_eq!((&Kept(7)).outcome(), Ok(()));
    }
}
