//! Collects what is wrong with one use of a macro, so that all of it is reported at once.
//!
//! It judges nothing: the readers and rules of the other files do, and go on after reporting.
//! Invariant: an accumulator ends by [`Errors::into_compile_errors`]; one that is dropped otherwise
//! panics, since code expanded past a mistake would hide the mistake.

use std::fmt::Display;

use proc_macro2::TokenStream;
use quote::ToTokens;

/// The mistakes found so far, each with the tokens to underline.
#[must_use = "findings are reported by `into_compile_errors`"]
pub(crate) struct Errors {
    found: Vec<syn::Error>,
    /// Set by `into_compile_errors` alone; there only for `Drop`.
    reported: bool,
}

impl Errors {
    pub(crate) fn new() -> Self {
        Self { found: Vec::new(), reported: false }
    }

    /// Reports a mistake under `tokens`, from the first of them to the last.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    pub(crate) fn push(&mut self, error: syn::Error) {
        self.found.push(error);
    }

    /// How many mistakes were found so far.
    pub(crate) fn count(&self) -> usize {
        self.found.len()
    }

    /// Ends the search: one `compile_error!` for each mistake, in the order of finding.
    pub(crate) fn into_compile_errors(mut self) -> TokenStream {
        self.reported = true;
        self.found.drain(..).map(syn::Error::into_compile_error).collect()
    }
}

impl Drop for Errors {
    fn drop(&mut self) {
        // A second panic while one unwinds would abort and lose the first one's message.
        assert!(self.reported || std::thread::panicking(), "errors dropped without being reported");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_come_in_the_order_of_finding() {
        let mut errors = Errors::new();
        errors.at(quote::quote!(a), "first");
        errors.at(quote::quote!(b), "second");
        let text = errors.into_compile_errors().to_string();
        let (first, second) = (text.find("first"), text.find("second"));
        assert!(first.is_some() && first < second, "{text}");
    }

    #[test]
    fn nothing_found_is_nothing_emitted() {
        assert!(Errors::new().into_compile_errors().is_empty());
    }

    #[test]
    #[should_panic(expected = "errors dropped without being reported")]
    fn forgetting_to_report_panics() {
        let _forgotten = Errors::new();
    }
}
