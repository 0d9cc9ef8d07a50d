//! What is emitted beside an error: the user's function, in a form that brings no further errors.
//!
//! It never starts anything. Invariant: the body is there once and untouched, so that an editor
//! goes on completing in it, and what it uses is not reported as unused.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Signature, Token};

use crate::function::{Function, starts_a_runtime};

pub(crate) fn expand(function: &Function) -> TokenStream {
    // Another runtime's attribute has been reported; expanded, it would report more.
    let attrs = function.attrs.iter().filter(|attr| !starts_a_runtime(attr.path()));
    let Function { vis, sig, body, .. } = function;
    // Another name may be called elsewhere, and a method needs its `impl`: they stay what they are.
    if sig.ident != "main" || sig.receiver().is_some() {
        return quote!(#(#attrs)* #vis #sig #body);
    }
    let sig = nestable(sig);
    quote! {
        #(#attrs)*
        #vis fn main() {
            #sig #body
        }
    }
}

/// The signature, made `async` and without what an `async fn` cannot have.
fn nestable(sig: &Signature) -> Signature {
    let mut sig = sig.clone();
    let span = sig.fn_token.span;
    sig.asyncness.get_or_insert(Token![async](span));
    sig.constness = None;
    sig.abi = None;
    sig.variadic = None;
    sig
}
