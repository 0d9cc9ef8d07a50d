//! One use of `#[derive(ClusterMessage)]`, from tokens to tokens.
//!
//! `given` reads the options, `layout` the fields and variants with the help of `serde_options` and
//! `field_types`; `expand` writes the impls, also those that stand beside an error. Invariant: a type
//! that a mistake was found in has its impls all the same, so that only the mistake is reported.

mod expand;
mod field_types;
mod given;
mod layout;
#[cfg(test)]
mod random_tests;
mod serde_options;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, GenericParam};

use self::given::Given;
use self::layout::Layout;
use crate::errors::Errors;

/// Reads, checks and expands; if anything is wrong, gives every mistake and impls that say nothing.
pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(input) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let mut errors = Errors::new();
    if let Data::Union(union) = &input.data {
        errors.at(
            union.union_token,
            "a union cannot be a message: nothing says which of its fields is to be sent; \
             make it an enum",
        );
        // Serde has nothing for it either: an impl would only be complained of.
        return errors.into_compile_errors();
    }
    owns_what_it_says(&input, &mut errors);
    let mut given = Given::read(&input.attrs, &mut errors);
    let layout = Layout::read(&input, &mut given, &mut errors);
    given.opaque.report_unused(&mut errors);
    let reports = errors.into_compile_errors();
    if reports.is_empty() {
        return expand::expand(&input, &given, &layout);
    }
    let fallback = expand::expand(&input, &given, &Layout::default());
    quote!(#reports #fallback)
}

/// A message is decoded in another process, where nothing is left that it could borrow from.
fn owns_what_it_says(input: &DeriveInput, errors: &mut Errors) {
    for parameter in &input.generics.params {
        if let GenericParam::Lifetime(lifetime) = parameter {
            errors.at(
                &lifetime.lifetime,
                format_args!(
                    "a message cannot borrow, since it is decoded in another process: remove `{}` \
                     and own the data, as in `String` for `&str`",
                    lifetime.lifetime
                ),
            );
        }
    }
}
