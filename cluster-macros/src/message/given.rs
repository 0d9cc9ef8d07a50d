//! The grammar of `#[message(..)]`: its options, on the type and on a field.
//!
//! Invariant: as in the attribute of `main`, a mistake costs at most the tokens up to the next comma,
//! and every wrong or repeated option is reported under its own tokens.

use proc_macro2::{Group, Ident};
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, LitStr, Meta, Path, Token, Type, token};

use super::field_types::StandIns;
use crate::args::{read_comma, skip_to_comma};
use crate::errors::Errors;
use crate::options::nearest;
use crate::value::{Form, Written};

/// Every option of a type with an example of its use.
const AVAILABLE: [(&str, &str); 4] = [
    ("reply", "reply = u32"),
    ("name", "name = \"shop.news\""),
    ("opaque", "opaque(uuid::Uuid)"),
    ("crate", "crate = renamed_cluster"),
];

/// What others call it, each group with the remedy.
const OTHER_WORDS: [(&[&str], &str); 3] = [
    (
        &["response", "answer", "returns", "output", "result", "request"],
        "the type of the answer is `reply = T`",
    ),
    (&["rename", "id", "topic", "key", "type"], "the name to be known by is `name = \"...\"`"),
    (
        &["skip", "ignore", "foreign", "external", "shape"],
        "a type of another crate, taken as unchanging, is `opaque`",
    ),
];

/// What the attributes of the type say.
#[derive(Default)]
pub(super) struct Given {
    pub(super) reply: Option<Type>,
    pub(super) name: Option<LitStr>,
    crate_path: Option<Path>,
    pub(super) opaque: StandIns,
    /// Every name that occurred, those with a wrong value too.
    names: Vec<String>,
}

impl Given {
    /// Reads the attributes of the type.
    pub(super) fn read(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut given = Self::default();
        for attr in attrs {
            read_list(attr, "#[message(reply = u32)]", errors, |name, input, errors| {
                given.take(&name, input, errors);
            });
        }
        given
    }

    /// The path to the runtime crate.
    pub(super) fn krate(&self) -> Path {
        self.crate_path.clone().unwrap_or_else(|| syn::parse_quote!(::cluster))
    }

    fn take(&mut self, name: &Ident, input: ParseStream<'_>, errors: &mut Errors) {
        let word = name.to_string();
        let known = AVAILABLE.iter().any(|(available, _)| *available == word);
        if known && self.names.contains(&word) {
            errors.at(name, format_args!("`{word}` is given twice"));
            skip_to_comma(input);
            return;
        }
        self.names.push(word.clone());
        match word.as_str() {
            "reply" => {
                self.reply = value(name, input, "a type", errors);
                // For the impl that stands beside the report.
                self.reply.get_or_insert_with(|| syn::parse_quote!(()));
            }
            "name" => {
                self.name = value(name, input, "text in quotes", errors);
                if let Some(name) = self.name.as_ref().filter(|name| name.value().is_empty()) {
                    errors.at(name, "`name` is empty: receivers would not know the message by it");
                }
            }
            "crate" => {
                let form = value::<Expr>(name, input, "a path", errors);
                let form = form.map_or(Form::Broken, Form::Value);
                self.crate_path = Written { name: name.clone(), form }.crate_path(errors);
            }
            "opaque" => self.opaque = stand_ins(name, input, errors),
            _ => {
                errors.at(name, refusal(&word));
                skip_to_comma(input);
            }
        }
    }
}

/// Whether a field is marked `#[message(opaque)]`; every other option is refused there.
pub(super) fn is_opaque(attrs: &[Attribute], errors: &mut Errors) -> bool {
    let mut opaque = false;
    for attr in attrs {
        read_list(attr, "#[message(opaque)]", errors, |name, input, errors| {
            let bare = input.is_empty() || input.peek(Token![,]);
            if name != "opaque" {
                errors.at(
                    &name,
                    format_args!("a field has no `{name}`: its one option is `#[message(opaque)]`"),
                );
            } else if !bare {
                errors.at(
                    &name,
                    "on a field, `opaque` stands alone: `#[message(opaque)]`; a list of types \
                     belongs on the message",
                );
            } else if opaque {
                errors.at(&name, "`opaque` is given twice");
            }
            opaque |= name == "opaque";
            skip_to_comma(input);
        });
    }
    opaque
}

/// A variant has fields, and they have the options.
pub(super) fn refuse_on_variant(attrs: &[Attribute], errors: &mut Errors) {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("message")) {
        errors.at(attr, "a variant has no options: put this on its field, or on the enum");
    }
}

/// Reads `#[message(..)]` if that is what `attr` is, option by option.
fn read_list(
    attr: &Attribute,
    example: &str,
    errors: &mut Errors,
    mut take: impl FnMut(Ident, ParseStream<'_>, &mut Errors),
) {
    if !attr.path().is_ident("message") {
        return;
    }
    let Meta::List(list) = &attr.meta else {
        errors.at(attr, format_args!("options stand in parentheses: `{example}`"));
        return;
    };
    let everything = |input: ParseStream<'_>| {
        while !input.is_empty() {
            // `parse_any`, because `crate` is a keyword.
            if let Ok(name) = input.call(Ident::parse_any) {
                take(name, input, errors);
            } else {
                let found = skip_to_comma(input);
                if found.is_empty() {
                    errors.push(input.error("expected the name of an option before this comma"));
                } else {
                    errors.at(found, "expected the name of an option, as in `reply = u32`");
                }
            }
            read_comma(input, errors);
        }
        Ok(())
    };
    if let Err(error) = everything.parse2(list.tokens.clone()) {
        errors.push(error);
    }
}

/// Reads `= VALUE`, where a value is what `T` parses: a type has commas that no expression has.
fn value<T: Parse>(
    name: &Ident,
    input: ParseStream<'_>,
    what: &str,
    errors: &mut Errors,
) -> Option<T> {
    let example = example(name);
    if !input.peek(Token![=]) {
        errors.at(name, format_args!("`{name}` needs a value: `{example}`"));
        skip_to_comma(input);
        return None;
    }
    let equals: Token![=] = input.parse().ok()?;
    if input.is_empty() || input.peek(Token![,]) {
        errors.at(equals, format_args!("expected a value after `=`: `{example}`"));
        return None;
    }
    // A failed parse has taken some tokens already; the fork keeps them for the report.
    let ahead = input.fork();
    if let Ok(value) = ahead.parse() {
        input.advance_to(&ahead);
        return Some(value);
    }
    let found = skip_to_comma(input);
    errors.at(found, format_args!("`{name}` takes {what}: `{example}`"));
    None
}

/// Reads `(path::Type, ..)`.
fn stand_ins(name: &Ident, input: ParseStream<'_>, errors: &mut Errors) -> StandIns {
    if !input.peek(token::Paren) {
        errors.at(
            name,
            "on a type, `opaque` names the types of other crates that its fields contain: \
             `opaque(uuid::Uuid)`; alone it belongs on a field",
        );
        skip_to_comma(input);
        return StandIns::default();
    }
    // The whole group first: what could not be read of it is then not reported once more.
    let list = input
        .parse::<Group>()
        .and_then(|group| Punctuated::<Path, Token![,]>::parse_terminated.parse2(group.stream()));
    match list {
        Ok(paths) => StandIns::new(paths),
        Err(error) => {
            let message =
                format!("`opaque` takes the paths of types: `opaque(uuid::Uuid)`: {error}");
            errors.push(syn::Error::new(error.span(), message));
            StandIns::default()
        }
    }
}

fn example(name: &Ident) -> &'static str {
    AVAILABLE.iter().find(|(known, _)| name == known).map_or("reply = u32", |(_, example)| example)
}

/// The message for a name that is no option.
fn refusal(name: &str) -> String {
    if let Some((_, remedy)) = OTHER_WORDS.iter().find(|(words, _)| words.contains(&name)) {
        return format!("unknown option `{name}`: {remedy}");
    }
    let names = AVAILABLE.map(|(known, _)| known);
    nearest(name, names.into_iter()).map_or_else(
        || {
            let list = names.map(|known| format!("`{known}`")).join(", ");
            format!("unknown option `{name}`; the options are {list}")
        },
        |known| format!("unknown option `{name}`; did you mean `{known}`?"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_in_two_tables() {
        let mut names: Vec<&str> = AVAILABLE.iter().map(|(name, _)| *name).collect();
        names.extend(OTHER_WORDS.iter().flat_map(|(words, _)| words.iter()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_option_takes_its_own_example() {
        let examples = AVAILABLE.map(|(_, example)| example).join(", ");
        let attr: Attribute = {
            let tokens: proc_macro2::TokenStream = examples.parse().expect("tokens");
            syn::parse_quote!(#[message(#tokens)])
        };
        let mut errors = Errors::new();
        let given = Given::read(&[attr], &mut errors);
        let reports = errors.into_compile_errors();
        assert!(reports.is_empty(), "{reports}");
        assert!(given.reply.is_some() && given.name.is_some() && given.crate_path.is_some());
    }
}
