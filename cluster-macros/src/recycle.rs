//! `recycle(..)`, the option that is a list of options of its own.
//!
//! Invariant: as for the attribute itself, every wrong, unknown or repeated name in the list is
//! reported under its own tokens. That no limit is given is reported only of a list without mistakes.

use std::time::Duration;

use syn::{Expr, ExprLit, Lit};

use crate::args::read_options;
use crate::bytes::parse_bytes;
use crate::errors::Errors;
use crate::options::{self, RECYCLE};
use crate::value::{Form, Written};

/// What the list says; `None` leaves the default to the runtime.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recycle {
    pub(crate) connections: Option<u64>,
    pub(crate) age: Option<Duration>,
    /// In bytes.
    pub(crate) rss: Option<u64>,
    pub(crate) jitter: Option<f64>,
}

impl Written {
    pub(crate) fn recycle(&self, errors: &mut Errors) -> Option<Recycle> {
        let example = self.example();
        let list = match &self.form {
            Form::List(list) => list,
            Form::Bare => {
                errors.at(&self.name, format_args!("`recycle` needs a limit: {example}"));
                return None;
            }
            Form::Value(value) => {
                let message =
                    format_args!("the limits of `recycle` stand in parentheses: {example}");
                errors.at(value, message);
                return None;
            }
            Form::Broken => return None,
        };
        let mut recycle = Recycle::default();
        let mut names = Vec::new();
        let before = errors.count();
        read_options(list.stream(), "connections = 10_000", errors, |written, errors| {
            recycle.take(&written, &mut names, errors);
        });
        if errors.count() > before {
            return None;
        }
        if recycle.connections.is_none() && recycle.age.is_none() && recycle.rss.is_none() {
            errors.at(
                list,
                format_args!("`recycle` needs a limit, `connections`, `age` or `rss`: {example}"),
            );
            return None;
        }
        Some(recycle)
    }

    /// Reads a number of bytes in quotes.
    fn bytes(&self, errors: &mut Errors) -> Option<u64> {
        let fits = |text: &str| parse_bytes(text).is_ok();
        let text = self.quoted("a number of bytes with its unit", fits, errors)?;
        parse_bytes(&text.value()).map_err(|message| errors.at(text, message)).ok()
    }

    /// Reads a number from 0 to 1.
    fn part(&self, errors: &mut Errors) -> Option<f64> {
        let expr = self.expr(errors)?;
        let number = match expr {
            Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) if number.suffix().is_empty() => {
                number.base10_parse::<f64>().ok()
            }
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) if number.suffix().is_empty() => {
                number.base10_parse::<f64>().ok()
            }
            _ => None,
        };
        let part = number.filter(|number| (0.0..=1.0).contains(number));
        if part.is_none() {
            let (name, example) = (&self.name, self.example());
            errors.at(expr, format_args!("`{name}` takes a number from 0.0 to 1.0: {example}"));
        }
        part
    }
}

impl Recycle {
    fn take(&mut self, written: &Written, names: &mut Vec<String>, errors: &mut Errors) {
        let name = written.name.to_string();
        if names.contains(&name) {
            errors.at(&written.name, format_args!("`{name}` is given twice"));
            return;
        }
        match name.as_str() {
            "connections" => self.connections = written.whole(u64::MAX, errors),
            "age" => self.age = written.positive_duration(errors),
            "rss" => self.rss = written.bytes(errors),
            "jitter" => self.jitter = written.part(errors),
            _ => errors.at(&written.name, refusal(&name)),
        }
        names.push(name);
    }
}

/// What others call it; `max_requests` is gunicorn's, `max_memory_restart` PM2's.
const OTHER_WORDS: [(&[&str], &str); 3] = [
    (&["requests", "max_requests", "max_connections"], "connections"),
    (&["lifetime", "max_age", "max_lifetime", "ttl", "time", "after"], "age"),
    (&["memory", "mem", "max_rss", "max_memory", "max_memory_restart", "bytes"], "rss"),
];

/// The message for a name that is no option of `recycle`.
fn refusal(name: &str) -> String {
    let names = RECYCLE.iter().map(|(known, _)| *known);
    let meant = OTHER_WORDS.iter().find(|(words, _)| words.contains(&name));
    let meant = meant.map(|(_, meant)| *meant);
    match meant.or_else(|| options::nearest(name, names.clone())) {
        Some(meant) => format!("`recycle` has no `{name}`; did you mean `{meant}`?"),
        None => {
            let list: Vec<_> = names.map(|known| format!("`{known}`")).collect();
            format!("`recycle` has no `{name}`; its options are {}", list.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_in_two_tables() {
        let mut names: Vec<&str> = RECYCLE.iter().map(|(name, _)| *name).collect();
        names.extend(OTHER_WORDS.iter().flat_map(|(words, _)| words.iter()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn another_word_is_answered_with_ours() {
        assert_eq!(refusal("memory"), "`recycle` has no `memory`; did you mean `rss`?");
        assert_eq!(refusal("jiter"), "`recycle` has no `jiter`; did you mean `jitter`?");
        for (name, _) in RECYCLE {
            assert!(refusal("frobnicate").contains(&format!("`{name}`")));
        }
    }
}
