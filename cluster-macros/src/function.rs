//! The function under the attribute, split into header and body.
//!
//! It judges nothing, and the body stays the tokens the user wrote: an editor can then complete in
//! a body that does not parse yet, and a type error in it is reported as for any other function.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Path, Signature, Visibility};

pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    /// The block with its braces, inner attributes included.
    pub(crate) body: TokenStream,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            attrs: input.call(Attribute::parse_outer)?,
            vis: input.parse()?,
            sig: input.parse()?,
            body: input.parse()?,
        })
    }
}

/// Whether `path` names an attribute that starts a runtime of its own, as `#[tokio::main]` does.
pub(crate) fn starts_a_runtime(path: &Path) -> bool {
    let Some(last) = path.segments.last() else { return false };
    // Every runtime calls it one of these; `#[test]` alone is the compiler's.
    let alone = path.segments.len() == 1;
    last.ident == "main" || last.ident == "launch" || (last.ident == "test" && !alone)
}

/// `path` as the user wrote it, without the spaces that printing tokens puts in.
pub(crate) fn spelled(path: &Path) -> String {
    path.to_token_stream().to_string().replace(' ', "")
}
