//! The grammar of the attribute's arguments: `name`, `name = value` or `name(..)`, with commas.
//!
//! It knows the options and their order of reading, not what a value may be (`value`) nor what
//! options may stand together (`check`). Invariant: every token is read once, and a mistake costs
//! at most the tokens up to the next comma, so that the options after it are still read.

use std::time::Duration;

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Path, Token, token};

use crate::duration::Backoff;
use crate::errors::Errors;
use crate::options;
use crate::recycle::Recycle;
use crate::services::Service;
use crate::value::{Flavor, Form, Respawn, Schedule, Written};

/// An option that was given, with the place where.
pub(crate) struct Given<T> {
    pub(crate) name: Ident,
    pub(crate) value: T,
}

/// What the attribute says; `None` leaves the default to the runtime.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) workers: Option<Given<Expr>>,
    pub(crate) respawn: Option<Given<Respawn>>,
    pub(crate) backoff: Option<Given<Backoff>>,
    pub(crate) give_up: Option<Given<u32>>,
    pub(crate) grace: Option<Given<Duration>>,
    pub(crate) stop_delay: Option<Given<Duration>>,
    pub(crate) start_timeout: Option<Given<Duration>>,
    pub(crate) hang_timeout: Option<Given<Duration>>,
    pub(crate) recycle: Option<Given<Recycle>>,
    pub(crate) surplus: Option<Given<usize>>,
    pub(crate) schedule: Option<Given<Schedule>>,
    pub(crate) services: Option<Given<Vec<Service>>>,
    pub(crate) user: Option<Given<String>>,
    pub(crate) group: Option<Given<String>>,
    pub(crate) flavor: Option<Given<Flavor>>,
    pub(crate) worker_threads: Option<Given<u32>>,
    pub(crate) blocking: Option<Given<()>>,
    pub(crate) pin: Option<Given<()>>,
    pub(crate) init: Option<Given<Expr>>,
    pub(crate) master: Option<Given<Expr>>,
    pub(crate) preload: Option<Given<Expr>>,
    pub(crate) crate_path: Option<Given<Path>>,
    /// Every name that occurred, wrong ones and those with a wrong value too: a rule between
    /// options keeps silent when one of them has been complained of.
    names: Vec<Ident>,
}

impl Args {
    /// Reads the tokens between the attribute's parentheses.
    pub(crate) fn read(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut args = Self::default();
        read_options(tokens, "workers = 4", errors, |written, errors| args.take(written, errors));
        args
    }

    /// Whether `name` occurred at all, with whatever value.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        self.names.iter().any(|given| given == name)
    }

    fn take(&mut self, written: Written, errors: &mut Errors) {
        let name = written.name.to_string();
        if self.mentions(&name) {
            errors.at(&written.name, format_args!("`{name}` is given twice"));
            return;
        }
        self.names.push(written.name.clone());
        match name.as_str() {
            "workers" => self.workers = written.given(Written::count, errors),
            "respawn" => self.respawn = written.given(Written::respawn, errors),
            "backoff" => self.backoff = written.given(Written::backoff, errors),
            "give_up" => self.give_up = written.given(Written::positive, errors),
            "grace" => self.grace = written.given(Written::duration, errors),
            "stop_delay" => self.stop_delay = written.given(Written::duration, errors),
            "start_timeout" => {
                self.start_timeout = written.given(Written::positive_duration, errors);
            }
            "hang_timeout" => self.hang_timeout = written.given(Written::hang_timeout, errors),
            "recycle" => self.recycle = written.given(Written::recycle, errors),
            "surplus" => self.surplus = written.given(Written::surplus, errors),
            "schedule" => self.schedule = written.given(Written::schedule, errors),
            "services" => self.services = written.given(Written::services, errors),
            "user" => self.user = written.given(Written::account, errors),
            "group" => self.group = written.given(Written::account, errors),
            "flavor" => self.flavor = written.given(Written::flavor, errors),
            "worker_threads" => self.worker_threads = written.given(Written::positive, errors),
            "blocking" => self.blocking = written.given(Written::flag, errors),
            "pin" => self.pin = written.given(Written::flag, errors),
            "init" => self.init = written.given(Written::function, errors),
            "master" => self.master = written.given(Written::function, errors),
            "preload" => self.preload = written.given(Written::function, errors),
            "crate" => self.crate_path = written.given(Written::crate_path, errors),
            _ => errors.at(&written.name, options::refusal(&name)),
        }
    }
}

impl Written {
    pub(crate) fn given<T>(
        self,
        read: impl FnOnce(&Self, &mut Errors) -> Option<T>,
        errors: &mut Errors,
    ) -> Option<Given<T>> {
        let value = read(&self, errors)?;
        Some(Given { name: self.name, value })
    }
}

/// Reads options with commas between them, up to the end of `tokens`. `example` shows one.
pub(crate) fn read_options(
    tokens: TokenStream,
    example: &str,
    errors: &mut Errors,
    mut take: impl FnMut(Written, &mut Errors),
) {
    let everything = |input: ParseStream<'_>| {
        while !input.is_empty() {
            if let Some(written) = read_option(input, example, errors) {
                take(written, errors);
            }
            read_comma(input, errors);
        }
        Ok(())
    };
    if let Err(error) = everything.parse2(tokens) {
        errors.push(error);
    }
}

/// Reads a name and what follows it, up to a comma or to what should have been one.
fn read_option(input: ParseStream<'_>, example: &str, errors: &mut Errors) -> Option<Written> {
    if input.peek(Token![,]) {
        errors.push(input.error("expected the name of an option before this comma"));
        return None;
    }
    // `parse_any`, because `crate` is a keyword.
    let Ok(name) = input.call(Ident::parse_any) else {
        let found = skip_to_comma(input);
        errors.at(found, format_args!("expected the name of an option, as in `{example}`"));
        return None;
    };
    let form = if input.peek(Token![=]) {
        read_value(input, &name, errors)
    } else if input.peek(token::Paren) {
        input.parse::<Group>().map_or(Form::Broken, Form::List)
    } else {
        Form::Bare
    };
    Some(Written { name, form })
}

fn read_value(input: ParseStream<'_>, name: &Ident, errors: &mut Errors) -> Form {
    let Ok(equals) = input.parse::<Token![=]>() else { return Form::Broken };
    if input.is_empty() || input.peek(Token![,]) {
        errors.at(
            equals,
            format_args!("expected a value after `=`: {}", options::example(&name.to_string())),
        );
        return Form::Broken;
    }
    // A failed parse has taken some tokens already; the fork keeps them for the report.
    let ahead = input.fork();
    match ahead.parse::<Expr>() {
        Ok(expr) => {
            input.advance_to(&ahead);
            Form::Value(expr)
        }
        Err(error) => {
            let found = skip_to_comma(input);
            errors.at(found, format_args!("the value of `{name}` cannot be read: {error}"));
            Form::Broken
        }
    }
}

/// Reads the comma after an option. Where it is missing before a name, the name is still read.
pub(crate) fn read_comma(input: ParseStream<'_>, errors: &mut Errors) {
    if input.is_empty() || input.parse::<Token![,]>().is_ok() {
        return;
    }
    if input.peek(syn::Ident::peek_any) {
        errors.push(input.error("expected `,` before this option"));
        return;
    }
    let found = skip_to_comma(input);
    errors.at(found, "expected `,` or the end of the options");
    let _: syn::Result<Token![,]> = input.parse();
}

/// Takes the tokens up to the next comma, to be passed over or reported.
pub(crate) fn skip_to_comma(input: ParseStream<'_>) -> TokenStream {
    let mut skipped = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![,]) {
        match input.parse::<TokenTree>() {
            Ok(token) => skipped.extend([token]),
            Err(_) => break,
        }
    }
    skipped
}
