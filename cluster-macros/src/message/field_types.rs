//! The types of the fields: what stands in for an opaque one, which bounds a generic one needs.
//!
//! Types are compared as they are written: a macro cannot know what a name refers to.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{GenericArgument, Generics, Path, PathArguments, Type, parse_quote};

use crate::errors::Errors;

/// The types of `#[message(opaque(..))]`.
#[derive(Default)]
pub(super) struct StandIns {
    /// Each with whether a field contained it.
    types: Vec<(Path, bool)>,
}

impl StandIns {
    pub(super) fn new(paths: impl IntoIterator<Item = Path>) -> Self {
        Self { types: paths.into_iter().map(|path| (path, false)).collect() }
    }

    /// `ty` with a stand-in for every listed type in it, so that the rest of it is still looked at.
    pub(super) fn replace_in(&mut self, mut ty: Type, krate: &Path) -> Type {
        walk(&mut ty, &mut |inner| {
            let Type::Path(path) = &*inner else { return true };
            let found = self.types.iter_mut().find(|(listed, _)| means(listed, &path.path));
            let Some((listed, used)) = found.filter(|_| path.qself.is_none()) else { return true };
            *used = true;
            // The last name, whichever path leads to it here or in the list.
            let name = listed.segments.last().map(|segment| segment.ident.to_string());
            *inner = stand_in(&name.unwrap_or_default(), krate);
            false
        });
        ty
    }

    /// A type that no field contains is misspelled, or was forgotten here.
    pub(super) fn report_unused(&self, errors: &mut Errors) {
        for (path, _) in self.types.iter().filter(|(_, used)| !used) {
            let path_spelled = spelled(path.to_token_stream()).replace(' ', "");
            errors.at(
                path,
                format_args!(
                    "no field contains `{path_spelled}`: write it as the field does, or remove it"
                ),
            );
        }
    }
}

/// The stand-in for a whole field, named by all of its type.
pub(super) fn opaque_field(ty: &Type, krate: &Path) -> Type {
    stand_in(&without_paths(ty.to_token_stream()), krate)
}

fn stand_in(name: &str, krate: &Path) -> Type {
    parse_quote!(#krate::__private::Opaque<{ #krate::__private::hash(#name) }>)
}

/// Whether `written` is the listed type: one path ends with the other, and arguments, if listed,
/// are the same.
fn means(listed: &Path, written: &Path) -> bool {
    let tails = listed.segments.iter().rev().zip(written.segments.iter().rev());
    let same_names = tails.clone().all(|(a, b)| a.ident == b.ident);
    let same_arguments = listed.segments.last().is_some_and(|segment| {
        segment.arguments.is_empty()
            || tails.take(1).all(|(a, b)| {
                spelled(a.arguments.to_token_stream()) == spelled(b.arguments.to_token_stream())
            })
    });
    same_names && same_arguments
}

/// The types that must have a shape for `types` to have one: parameters and what is projected from
/// them. What only `PhantomData` names is not sent.
pub(super) fn bounded<'a>(types: impl Iterator<Item = &'a Type>, generics: &Generics) -> Vec<Type> {
    let mut found: Vec<Type> = Vec::new();
    for ty in types {
        walk(&mut ty.clone(), &mut |inner| {
            let Type::Path(path) = &*inner else { return true };
            let segments = &path.path.segments;
            let is_parameter = segments.first().is_some_and(|first| {
                generics.type_params().any(|param| param.ident == first.ident)
            });
            if is_parameter || path.qself.is_some() {
                let same = spelled(inner.to_token_stream());
                if found.iter().all(|known| spelled(known.to_token_stream()) != same) {
                    found.push(inner.clone());
                }
                return false;
            }
            segments.last().is_none_or(|last| last.ident != "PhantomData")
        });
    }
    found
}

/// Calls `visit` with `ty` and, where it says so, with the types inside of it.
fn walk(ty: &mut Type, visit: &mut impl FnMut(&mut Type) -> bool) {
    if !visit(ty) {
        return;
    }
    match ty {
        Type::Array(array) => walk(&mut array.elem, visit),
        Type::Group(group) => walk(&mut group.elem, visit),
        Type::Paren(paren) => walk(&mut paren.elem, visit),
        Type::Slice(slice) => walk(&mut slice.elem, visit),
        Type::Tuple(tuple) => tuple.elems.iter_mut().for_each(|elem| walk(elem, visit)),
        Type::Path(path) => {
            for segment in &mut path.path.segments {
                let PathArguments::AngleBracketed(arguments) = &mut segment.arguments else {
                    continue;
                };
                for argument in &mut arguments.args {
                    if let GenericArgument::Type(argument) = argument {
                        walk(argument, visit);
                    }
                }
            }
        }
        _ => {}
    }
}

/// `tokens` as text, one space between each. The compiler's own printing may change its spaces from
/// version to version, and a fingerprint must not.
pub(super) fn spelled(tokens: TokenStream) -> String {
    words(tokens).join(" ")
}

fn words(tokens: TokenStream) -> Vec<String> {
    let mut found = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                found.push(open.to_owned());
                found.extend(words(group.stream()));
                found.push(close.to_owned());
            }
            other => found.push(other.to_string()),
        }
    }
    found.retain(|word| !word.is_empty());
    found
}

/// A type as text, each path by its last name: how it was imported is no part of the shape.
fn without_paths(tokens: TokenStream) -> String {
    let is_name = |word: &String| word.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut kept: Vec<String> = Vec::new();
    for word in words(tokens) {
        // `a::b` comes as `a`, `:`, `:`, `b`; `a::<b>` is `a<b>`.
        if kept.ends_with(&[":".to_owned(), ":".to_owned()]) {
            kept.truncate(kept.len() - 2);
            if is_name(&word) && kept.last().is_some_and(is_name) {
                kept.pop();
            }
        }
        kept.push(word);
    }
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn a_path_is_told_by_its_last_name() {
        let imported = without_paths(quote!(Option<Vec<Uuid>>));
        assert_eq!(imported, "Option < Vec < Uuid > >");
        assert_eq!(without_paths(quote!(::std::option::Option<Vec::<uuid::Uuid>>)), imported);
        assert_ne!(without_paths(quote!(Option<Box<Uuid>>)), imported);
    }

    #[test]
    fn a_listed_type_is_met_under_longer_and_shorter_paths() {
        let means = |listed: TokenStream, written: TokenStream| {
            let path = |tokens| syn::parse2::<Path>(tokens).expect("a path");
            means(&path(listed), &path(written))
        };
        assert!(means(quote!(uuid::Uuid), quote!(Uuid)));
        assert!(means(quote!(Uuid), quote!(::uuid::Uuid)));
        assert!(means(quote!(Date), quote!(chrono::Date<Utc>)));
        assert!(means(quote!(Date<Utc>), quote!(chrono::Date<Utc>)));
        assert!(!means(quote!(Date<Utc>), quote!(Date<Local>)));
        assert!(!means(quote!(uuid::Uuid), quote!(shop::Uuid)));
    }

    #[test]
    fn bounds_are_on_parameters_and_their_projections() {
        let types = [
            parse_quote!(Vec<(T, u8)>),
            parse_quote!(PhantomData<U>),
            parse_quote!([I::Item; 4]),
            parse_quote!(Option<T>),
        ];
        let item: syn::ItemStruct = parse_quote!(
            struct S<T, U, I>();
        );
        let bounds = bounded(types.iter(), &item.generics);
        let bounds: Vec<_> = bounds.iter().map(|ty| spelled(ty.to_token_stream())).collect();
        assert_eq!(bounds, ["T", "I : : Item"]);
    }
}
