//! For generated code: whether any service takes what is preloaded.
//!
//! Inference cannot tell `fn() -> Result<T, E>` from `fn() -> T` without a use, and if no service is one, there is none.
//! So the types of the services' functions are asked: of the two methods `preload` the first that fits them is
//! found, as with [`KeptResult`](crate::preload::KeptResult). If some service takes something, all is as without this.

use std::fmt::Display;

use super::Builder;
use crate::preload::PreloadFn;

/// The functions of all services, as `(first, (second, ()))`.
#[derive(Debug)]
pub struct Functions<L>(pub L);

/// Functions none of which has a parameter.
pub trait TakeNothing {}

impl TakeNothing for () {}

impl<F, Out, Rest> TakeNothing for (F, Rest)
where
    F: FnOnce() -> Out,
    Rest: TakeNothing,
{
}

/// No service takes anything. For the reference, so that it comes before [`ForSome`] in the search for a method.
pub trait ForNobody {
    /// As [`Builder::preload_only`].
    fn preload<F>(
        self,
        builder: Builder,
        function: F,
        kept: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Builder;
}

impl<L: TakeNothing> ForNobody for &Functions<L> {
    fn preload<F>(
        self,
        builder: Builder,
        _function: F,
        kept: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Builder {
        builder.preload_only(kept)
    }
}

/// Some service takes something.
pub trait ForSome {
    /// As [`Builder::preload`].
    fn preload<T, M>(
        self,
        builder: Builder,
        function: impl PreloadFn<T, M, Error: Display> + Send + 'static,
        kept: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Builder<T>
    where
        T: Send + 'static;
}

impl<L> ForSome for &&Functions<L> {
    fn preload<T, M>(
        self,
        builder: Builder,
        function: impl PreloadFn<T, M, Error: Display> + Send + 'static,
        _kept: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Builder<T>
    where
        T: Send + 'static,
    {
        builder.preload(function)
    }
}
