//! `services(..)`, the option that is a list of functions with options of their own.
//!
//! Reads the list; what a single value may be is judged in `value`. Invariant: as for the attribute itself,
//! every wrong, unknown or repeated name is reported under its own tokens, and a mistake costs no later
//! service.

use std::time::Duration;

use proc_macro2::{Group, Ident};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Path, Token, token};

use crate::args::{Given, read_comma, read_options, skip_to_comma};
use crate::duration::Backoff;
use crate::errors::Errors;
use crate::options::{self, SERVICE};
use crate::recycle::Recycle;
use crate::value::{Flavor, Form, Respawn, Schedule, Written};

/// One kind of workers.
pub(crate) struct Service {
    /// The function.
    pub(crate) path: Path,
    /// What it is called: the last segment of the path.
    pub(crate) name: Ident,
    pub(crate) options: ServiceOptions,
}

/// What stands in a service's parentheses, or after its `=`; `None` is as the cluster has it.
#[derive(Default)]
pub(crate) struct ServiceOptions {
    pub(crate) workers: Option<Given<Expr>>,
    pub(crate) respawn: Option<Given<Respawn>>,
    pub(crate) backoff: Option<Given<Backoff>>,
    pub(crate) give_up: Option<Given<u32>>,
    pub(crate) grace: Option<Given<Duration>>,
    pub(crate) start_timeout: Option<Given<Duration>>,
    pub(crate) hang_timeout: Option<Given<Duration>>,
    pub(crate) recycle: Option<Given<Recycle>>,
    pub(crate) schedule: Option<Given<Schedule>>,
    pub(crate) flavor: Option<Given<Flavor>>,
    pub(crate) worker_threads: Option<Given<u32>>,
    pub(crate) optional: Option<Given<()>>,
    pub(crate) after: Option<Given<Ident>>,
    names: Vec<Ident>,
}

impl Written {
    pub(crate) fn services(&self, errors: &mut Errors) -> Option<Vec<Service>> {
        let example = self.example();
        let list = match &self.form {
            Form::List(list) => list,
            Form::Bare => {
                errors.at(&self.name, format_args!("`services` needs a service: {example}"));
                return None;
            }
            Form::Value(value) => {
                let message = format_args!("the services stand in parentheses: {example}");
                errors.at(value, message);
                return None;
            }
            Form::Broken => return None,
        };
        let before = errors.count();
        let mut services: Vec<Service> = Vec::new();
        let everything = |input: ParseStream<'_>| {
            while !input.is_empty() {
                if let Some(service) = read_service(input, errors) {
                    match services.iter().any(|other| other.name == service.name) {
                        true => twice(&service.name, errors),
                        false => services.push(service),
                    }
                }
                read_comma(input, errors);
            }
            Ok(())
        };
        if let Err(error) = everything.parse2(list.stream()) {
            errors.push(error);
        }
        if errors.count() > before {
            return None;
        }
        if services.is_empty() {
            errors.at(list, format_args!("`services` needs a service: {example}"));
            return None;
        }
        check_order(&services, errors);
        Some(services)
    }
}

fn twice(name: &Ident, errors: &mut Errors) {
    errors.at(
        name,
        format_args!(
            "a service `{name}` is there already; it is named by the last part of its path"
        ),
    );
}

/// Reads a path and what follows it, up to a comma or to what should have been one.
fn read_service(input: ParseStream<'_>, errors: &mut Errors) -> Option<Service> {
    const EXPECTED: &str = "expected the name of an `async fn`, as in `web = 4`";
    let ahead = input.fork();
    let path =
        if input.peek(syn::Ident::peek_any) { Path::parse_mod_style(&ahead).ok() } else { None };
    let Some(path) = path else {
        if input.peek(Token![,]) {
            errors.push(input.error(EXPECTED));
        } else {
            errors.at(skip_to_comma(input), EXPECTED);
        }
        return None;
    };
    input.advance_to(&ahead);
    let name = path.segments.last()?.ident.clone();
    let options = if input.peek(Token![=]) {
        Some(ServiceOptions { workers: read_count(input, &name, errors), ..Default::default() })
    } else if input.peek(token::Paren) {
        input.parse::<Group>().ok().map(|list| ServiceOptions::read(&list, errors))
    } else {
        Some(ServiceOptions::default())
    }?;
    Some(Service { path, name, options })
}

fn read_count(input: ParseStream<'_>, name: &Ident, errors: &mut Errors) -> Option<Given<Expr>> {
    let equals = input.parse::<Token![=]>().ok()?;
    if input.is_empty() || input.peek(Token![,]) {
        errors.at(equals, format_args!("expected the number of workers after `=`: `{name} = 4`"));
        return None;
    }
    let ahead = input.fork();
    match ahead.parse::<Expr>() {
        Ok(expr) => {
            input.advance_to(&ahead);
            // In errors about the number it is that of the service.
            let written = Written { name: name.clone(), form: Form::Value(expr) };
            written.given(Written::some_workers, errors)
        }
        Err(error) => {
            let found = skip_to_comma(input);
            let message = format_args!("the number of `{name}`'s workers cannot be read: {error}");
            errors.at(found, message);
            None
        }
    }
}

impl ServiceOptions {
    fn read(list: &Group, errors: &mut Errors) -> Self {
        let mut options = Self::default();
        let before = errors.count();
        read_options(list.stream(), "workers = 4", errors, |written, errors| {
            options.take(written, errors);
        });
        if errors.count() == before && options.worker_threads.is_some() {
            options.check_threads(errors);
        }
        options
    }

    fn take(&mut self, written: Written, errors: &mut Errors) {
        let name = written.name.to_string();
        if self.names.iter().any(|given| *given == name) {
            errors.at(&written.name, format_args!("`{name}` is given twice"));
            return;
        }
        self.names.push(written.name.clone());
        match name.as_str() {
            "workers" => self.workers = written.given(Written::some_workers, errors),
            "respawn" => self.respawn = written.given(Written::respawn, errors),
            "backoff" => self.backoff = written.given(Written::backoff, errors),
            "give_up" => self.give_up = written.given(Written::positive, errors),
            "grace" => self.grace = written.given(Written::duration, errors),
            "start_timeout" => {
                self.start_timeout = written.given(Written::positive_duration, errors);
            }
            "hang_timeout" => self.hang_timeout = written.given(Written::hang_timeout, errors),
            "recycle" => self.recycle = written.given(Written::recycle, errors),
            "schedule" => self.schedule = written.given(Written::schedule, errors),
            "flavor" => self.flavor = written.given(Written::flavor, errors),
            "worker_threads" => self.worker_threads = written.given(Written::positive, errors),
            "optional" => self.optional = written.given(Written::flag, errors),
            "after" => self.after = written.given(Written::service, errors),
            _ => errors.at(&written.name, refusal(&name)),
        }
    }

    /// The other flavors have one thread; that of the cluster is judged when it starts.
    fn check_threads(&self, errors: &mut Errors) {
        let (Some(threads), Some(flavor)) = (&self.worker_threads, &self.flavor) else { return };
        if flavor.value != Flavor::MultiThread {
            let text =
                "`worker_threads` needs `flavor = \"multi_thread\"`: this flavor has one thread";
            errors.at(&threads.name, text);
        }
    }
}

impl Written {
    /// Reads the number of a service's workers, of which there is at least one.
    fn some_workers(&self, errors: &mut Errors) -> Option<Expr> {
        let count = self.count(errors)?;
        if count.to_token_stream().to_string() == "0" {
            let name = &self.name;
            errors.at(count, format_args!("`{name} = 0`: a service has at least one worker"));
            return None;
        }
        Some(count)
    }

    /// Reads the name of another service.
    fn service(&self, errors: &mut Errors) -> Option<Ident> {
        let expr = self.expr(errors)?;
        let ident = match expr {
            Expr::Path(path) => path.path.segments.last().map(|last| last.ident.clone()),
            _ => None,
        };
        if ident.is_none() {
            let example = self.example();
            errors.at(expr, format_args!("`after` takes the name of another service: {example}"));
        }
        ident
    }
}

/// A service waits for others that there are, and not for itself.
fn check_order(services: &[Service], errors: &mut Errors) {
    let find = |name: &Ident| services.iter().find(|service| service.name == *name);
    for service in services {
        let Some(after) = &service.options.after else { continue };
        let mut ahead = find(&after.value);
        if ahead.is_none() {
            let names: Vec<_> = services.iter().map(|s| format!("`{}`", s.name)).collect();
            let (list, name) = (names.join(", "), &after.value);
            errors.at(name, format_args!("there is no service `{name}`; there are {list}"));
            continue;
        }
        // As many steps as there are services lead round any circle.
        for _ in services {
            if ahead.is_some_and(|other| other.name == service.name) {
                let name = &service.name;
                errors.at(&after.value, format_args!("`after` leads back to `{name}` itself"));
                break;
            }
            ahead =
                ahead.and_then(|other| other.options.after.as_ref()).and_then(|a| find(&a.value));
        }
    }
}

/// What others call it.
const OTHER_WORDS: [(&[&str], &str); 4] = [
    (&["essential", "required", "critical"], "optional"),
    (&["depends_on", "requires", "needs", "wait_for", "before"], "after"),
    (&["count", "replicas", "instances", "processes", "n"], "workers"),
    (&["restart", "restart_policy"], "respawn"),
];

/// The message for a name that is no option of a service.
fn refusal(name: &str) -> String {
    let names = SERVICE.iter().copied();
    if options::AVAILABLE.iter().any(|(known, _)| *known == name) {
        return format!("`{name}` is an option of the whole cluster: write it beside `services`");
    }
    let meant = OTHER_WORDS.iter().find(|(words, _)| words.contains(&name));
    match meant.map(|(_, meant)| *meant).or_else(|| options::nearest(name, names.clone())) {
        Some(meant) => format!("a service has no option `{name}`; did you mean `{meant}`?"),
        None => {
            let list: Vec<_> = names.map(|known| format!("`{known}`")).collect();
            format!("a service has no option `{name}`; its options are {}", list.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_word_is_answered_with_ours() {
        assert_eq!(
            refusal("essential"),
            "a service has no option `essential`; did you mean `optional`?"
        );
        assert_eq!(refusal("gracee"), "a service has no option `gracee`; did you mean `grace`?");
        assert_eq!(
            refusal("user"),
            "`user` is an option of the whole cluster: write it beside `services`"
        );
        assert!(refusal("frobnicate").contains("`start_timeout`"));
    }
}
