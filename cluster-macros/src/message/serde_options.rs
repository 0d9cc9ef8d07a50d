//! What serde's own attributes mean for a message: part of its shape, or not possible.
//!
//! Messages are encoded by postcard, which writes neither names nor types: what serde would need
//! them for either fails when it is sent or, worse, is misread. Serde itself judges the rest, so a
//! malformed attribute is passed over here.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{Attribute, LitStr, Meta, Type};

use super::field_types::spelled;
use crate::errors::Errors;

/// What makes an attribute impossible, each with the remedy.
const REFUSED: [(&[&str], &str); 6] = [
    (
        &["flatten"],
        "messages are encoded without the names of fields; remove it, the field is then nested",
    ),
    (
        &["untagged"],
        "messages are encoded without the types to guess a variant from; remove it, a variant is \
         then sent as one byte and its fields",
    ),
    (
        &["tag", "content"],
        "messages are encoded without names, a variant by its position; remove it, a variant is \
         then sent as one byte and its fields",
    ),
    (
        &["skip_serializing_if"],
        "messages are encoded without the names of fields, so a field left out would be misread as \
         the next one; remove it, an empty `Option` or `Vec` is one byte",
    ),
    (
        &["other", "field_identifier", "variant_identifier"],
        "messages are encoded without names, of which this one is to be the rest; remove it",
    ),
    (
        &["borrow"],
        "a message is decoded in another process, with nothing to borrow from; remove it and own \
         the data",
    ),
];

/// The attributes of one type, variant or field.
#[derive(Default)]
pub(super) struct SerdeOptions {
    /// Each option as it is written, spaces made regular.
    pub(super) spelled: Vec<String>,
    /// The types that are written or read in place of this one: `into`, `from`, `try_from`.
    pub(super) into: Option<Type>,
    pub(super) from: Option<Type>,
    skip_serializing: Option<Ident>,
    skip_deserializing: Option<Ident>,
}

impl SerdeOptions {
    /// Reads every `#[serde(..)]`, and refuses what cannot be sent.
    pub(super) fn read(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut options = Self::default();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
            let Meta::List(list) = &attr.meta else { continue };
            let tokens: Vec<TokenTree> = list.tokens.clone().into_iter().collect();
            let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
            for option in tokens.split(is_comma) {
                options.take(option, errors);
            }
        }
        options
    }

    fn take(&mut self, option: &[TokenTree], errors: &mut Errors) {
        let Some(TokenTree::Ident(name)) = option.first() else { return };
        let word = name.to_string();
        if let Some((_, reason)) = REFUSED.iter().find(|(words, _)| words.contains(&&*word)) {
            errors.at(name, format_args!("`{word}` is not possible in a message: {reason}"));
            return;
        }
        self.spelled.push(spelled(option.iter().cloned().collect()));
        let ty = || -> Option<Type> {
            let value: TokenStream = option.get(2..)?.iter().cloned().collect();
            syn::parse2::<LitStr>(value).ok()?.parse().ok()
        };
        match word.as_str() {
            "into" => self.into = ty(),
            "from" | "try_from" => self.from = ty(),
            "skip" => {
                self.skip_serializing = Some(name.clone());
                self.skip_deserializing = Some(name.clone());
            }
            "skip_serializing" => self.skip_serializing = Some(name.clone()),
            "skip_deserializing" => self.skip_deserializing = Some(name.clone()),
            _ => {}
        }
    }

    /// Whether a field is left out. Left out by one side alone, all that follows would be misread.
    pub(super) fn skips_field(&self, errors: &mut Errors) -> bool {
        match (&self.skip_serializing, &self.skip_deserializing) {
            (Some(_), Some(_)) => return true,
            (Some(name), None) => errors.at(
                name,
                "`skip_serializing` alone is not possible in a message: the receiver would read a \
                 field that was not written; write `skip`",
            ),
            (None, Some(name)) => errors.at(
                name,
                "`skip_deserializing` alone is not possible in a message: the receiver would not \
                 read a field that was written; write `skip`",
            ),
            (None, None) => {}
        }
        false
    }

    /// What says that a variant is never read. Serde numbers the variants without those when it
    /// reads and with them when it writes.
    pub(super) fn skips_variant(&self) -> Option<&Ident> {
        self.skip_deserializing.as_ref()
    }
}
