//! Turns what stands after an option's name into a typed value.
//!
//! Each reader judges one value alone; rules between options are in `check`. Invariant: a reader
//! that gives `None` has reported exactly one mistake, under the token that is wrong.

use std::time::Duration;

use proc_macro2::Ident;
use quote::ToTokens;
use syn::{Expr, ExprLit, Lit, LitStr, Path, UnOp};

use crate::duration::{Backoff, parse_backoff, parse_duration};
use crate::errors::Errors;
use crate::options::{example, nearest};

/// One option as written: `name`, `name = value` or `name(..)`.
pub(crate) struct Written {
    pub(crate) name: Ident,
    pub(crate) form: Form,
}

/// What follows the name.
pub(crate) enum Form {
    Bare,
    Value(Expr),
    List(proc_macro2::Group),
    /// It could not be read, which has been reported.
    Broken,
}

/// What follows a worker's exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Respawn {
    Always,
    OnFailure,
    Never,
}

/// How connections are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schedule {
    RoundRobin,
    LeastConnections,
    Sticky,
    Shared,
    Kernel,
    ByHost,
    ByServerName,
    ByProxy,
    ByLine,
}

/// The kind of runtime a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    CurrentThread,
    Local,
    MultiThread,
}

impl Written {
    /// An example of this option, back-ticked for a message.
    pub(crate) fn example(&self) -> String {
        example(&self.name.to_string())
    }

    /// The value, or a report that there is none.
    pub(crate) fn expr(&self, errors: &mut Errors) -> Option<&Expr> {
        let (name, example) = (&self.name, self.example());
        match &self.form {
            Form::Value(expr) => return Some(ungrouped(expr)),
            Form::Bare => errors.at(name, format_args!("`{name}` needs a value: {example}")),
            Form::List(list) => errors
                .at(list, format_args!("the value of `{name}` is written after `=`: {example}")),
            Form::Broken => {}
        }
        None
    }

    /// Reads an expression of type `usize`. Only what no such expression can be is refused here;
    /// the type itself is the compiler's to judge, in its own words.
    pub(crate) fn count(&self, errors: &mut Errors) -> Option<Expr> {
        let expr = self.expr(errors)?;
        let name = &self.name;
        let digits = match expr {
            Expr::Lit(ExprLit { lit: Lit::Int(_), .. }) => return Some(expr.clone()),
            Expr::Lit(_) => string(expr).and_then(|text| text.value().trim().parse::<usize>().ok()),
            Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => None,
            _ => return Some(expr.clone()),
        };
        let remedy = digits.map_or_else(
            || self.example(),
            |digits| format!("`{name} = {digits}`, without quotes"),
        );
        errors.at(
            expr,
            format_args!(
                "`{name}` takes a whole number or an expression of type `usize`: {remedy}"
            ),
        );
        None
    }

    /// Reads an integer literal of at least 1.
    pub(crate) fn positive(&self, errors: &mut Errors) -> Option<u32> {
        self.whole(u32::MAX.into(), errors).and_then(|number| number.try_into().ok())
    }

    /// Reads how many workers there may be above their number.
    pub(crate) fn surplus(&self, errors: &mut Errors) -> Option<usize> {
        /// As many as there can be workers, in the runtime's tables too.
        const SURPLUS_MAX: u64 = 512;
        self.whole(SURPLUS_MAX, errors).and_then(|number| number.try_into().ok())
    }

    /// Reads an integer literal from 1 to `max`.
    pub(crate) fn whole(&self, max: u64, errors: &mut Errors) -> Option<u64> {
        let expr = self.expr(errors)?;
        let name = &self.name;
        if let Expr::Lit(ExprLit { lit: Lit::Int(digits), .. }) = expr {
            // The parse ignores a suffix, and so would let `5s` pass for a number.
            match digits.base10_parse::<u64>() {
                Ok(number @ 1..) if number <= max && digits.suffix().is_empty() => {
                    return Some(number);
                }
                _ => {}
            }
        }
        let example = self.example();
        let range = match max {
            // Nobody reads twenty digits.
            u64::MAX => ", 1 or more".to_owned(),
            max => format!(" from 1 to {max}"),
        };
        errors.at(expr, format_args!("`{name}` takes a whole number{range}: {example}"));
        None
    }

    /// Reads `respawn`, which has a meaning without a value too.
    pub(crate) fn respawn(&self, errors: &mut Errors) -> Option<Respawn> {
        if matches!(self.form, Form::Bare) {
            return Some(Respawn::Always);
        }
        self.one_of(
            &[
                ("always", Respawn::Always),
                ("on-failure", Respawn::OnFailure),
                ("never", Respawn::Never),
            ],
            errors,
        )
    }

    pub(crate) fn schedule(&self, errors: &mut Errors) -> Option<Schedule> {
        self.one_of(
            &[
                ("round-robin", Schedule::RoundRobin),
                ("least-connections", Schedule::LeastConnections),
                ("sticky", Schedule::Sticky),
                ("shared", Schedule::Shared),
                ("kernel", Schedule::Kernel),
                ("by-host", Schedule::ByHost),
                ("by-server-name", Schedule::ByServerName),
                ("by-proxy", Schedule::ByProxy),
                ("by-line", Schedule::ByLine),
            ],
            errors,
        )
    }

    /// Reads an option that says all by being there.
    pub(crate) fn flag(&self, errors: &mut Errors) -> Option<()> {
        let name = &self.name;
        match &self.form {
            Form::Bare => return Some(()),
            Form::Value(value) => errors.at(
                value,
                format_args!("`{name}` takes no value: write `{name}`, or leave it out"),
            ),
            Form::List(list) => {
                errors.at(list, format_args!("`{name}` takes nothing: write `{name}`"))
            }
            Form::Broken => {}
        }
        None
    }

    pub(crate) fn flavor(&self, errors: &mut Errors) -> Option<Flavor> {
        self.one_of(
            &[
                ("current_thread", Flavor::CurrentThread),
                ("local", Flavor::Local),
                ("multi_thread", Flavor::MultiThread),
            ],
            errors,
        )
    }

    /// Reads one of a few words in quotes.
    fn one_of<T: Copy>(&self, words: &[(&str, T)], errors: &mut Errors) -> Option<T> {
        let expr = self.expr(errors)?;
        let written = string(expr).map(LitStr::value);
        if let Some((_, value)) = words.iter().find(|(word, _)| written.as_deref() == Some(word)) {
            return Some(*value);
        }
        let name = &self.name;
        let list: Vec<_> = words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
        let list = list.join(", ");
        // A word without its quotes is meant for the same word with them.
        let written = written.unwrap_or_else(|| expr.to_token_stream().to_string());
        let meant = nearest(&written, words.iter().map(|(word, _)| *word));
        let hint = meant.map(|word| format!("; did you mean `\"{word}\"`?")).unwrap_or_default();
        errors.at(expr, format_args!("`{name}` takes one of {list}{hint}"));
        None
    }

    /// Reads a duration, zero included.
    pub(crate) fn duration(&self, errors: &mut Errors) -> Option<Duration> {
        let text = self.quoted("a duration", is_duration, errors)?;
        parse_duration(&text.value()).map_err(|message| errors.at(text, message)).ok()
    }

    /// Reads a duration of which zero would make no sense.
    pub(crate) fn positive_duration(&self, errors: &mut Errors) -> Option<Duration> {
        let text = self.quoted("a duration", is_duration, errors)?;
        let message = match parse_duration(&text.value()) {
            Ok(Duration::ZERO) => {
                format!("`{}` must be longer than zero: {}", self.name, self.example())
            }
            Ok(duration) => return Some(duration),
            Err(message) => message,
        };
        errors.at(text, message);
        None
    }

    /// Reads a duration in which several heartbeats fit, on a busy machine too.
    pub(crate) fn hang_timeout(&self, errors: &mut Errors) -> Option<Duration> {
        const HANG_TIMEOUT_MIN: Duration = Duration::from_millis(100);
        let timeout = self.duration(errors)?;
        if timeout < HANG_TIMEOUT_MIN {
            let (name, example) = (&self.name, self.example());
            let text = self.expr(errors)?;
            errors.at(
                text,
                format_args!(
                    "`{name}` must be at least {HANG_TIMEOUT_MIN:?}, so that a heartbeat fits: \
                     {example}"
                ),
            );
            return None;
        }
        Some(timeout)
    }

    /// Reads the name or number of a user or group. Whether there is one is known at the start only.
    pub(crate) fn account(&self, errors: &mut Errors) -> Option<String> {
        let text = self.quoted("a name or a number", |_| true, errors)?;
        if text.value().trim().is_empty() {
            let (name, example) = (&self.name, self.example());
            errors.at(text, format_args!("`{name}` is empty: {example}"));
            return None;
        }
        Some(text.value())
    }

    pub(crate) fn backoff(&self, errors: &mut Errors) -> Option<Backoff> {
        let text = self.quoted("two durations", |_| false, errors)?;
        parse_backoff(&text.value()).map_err(|message| errors.at(text, message)).ok()
    }

    /// The string literal of an option whose value is written in quotes. A literal or name that `fits`
    /// lacks nothing but them.
    pub(crate) fn quoted(
        &self,
        what: &str,
        fits: impl FnOnce(&str) -> bool,
        errors: &mut Errors,
    ) -> Option<&LitStr> {
        let expr = self.expr(errors)?;
        let text = string(expr);
        if text.is_none() {
            let name = &self.name;
            // `25s` is one token, a number with a suffix.
            let one_token = match expr {
                Expr::Lit(ExprLit { lit: Lit::Int(_) | Lit::Float(_), .. }) => true,
                Expr::Path(path) => path.path.get_ident().is_some(),
                _ => false,
            };
            let written = expr.to_token_stream().to_string();
            let remedy = if one_token && fits(&written) {
                format!("`{name} = \"{written}\"`")
            } else {
                self.example()
            };
            errors.at(expr, format_args!("`{name}` takes {what} in quotes: {remedy}"));
        }
        text
    }

    /// Reads the path of a function, kept as an expression: `<App as Service>::setup` is one, too.
    pub(crate) fn function(&self, errors: &mut Errors) -> Option<Expr> {
        let expr = self.expr(errors)?;
        if matches!(expr, Expr::Path(_)) {
            return Some(expr.clone());
        }
        let name = &self.name;
        let remedy = match string(expr).map(|text| (text, text.parse::<Path>())) {
            Some((text, Ok(_))) => format!("`{name} = {}`, without quotes", text.value()),
            _ => self.example(),
        };
        errors.at(expr, format_args!("`{name}` takes the path of a function: {remedy}"));
        None
    }

    /// Reads the path to this crate, bare or in quotes.
    pub(crate) fn crate_path(&self, errors: &mut Errors) -> Option<Path> {
        let expr = self.expr(errors)?;
        let path = match expr {
            Expr::Path(path) if path.qself.is_none() => Some(path.path.clone()),
            expr => string(expr).and_then(|text| text.parse_with(Path::parse_mod_style).ok()),
        };
        if path.is_none() {
            let example = self.example();
            errors.at(
                expr,
                format_args!(
                    "`crate` takes the path under which `cluster` is known here: {example}"
                ),
            );
        }
        path
    }
}

fn is_duration(text: &str) -> bool {
    parse_duration(text).is_ok()
}

/// The expression without the invisible groups that each `macro_rules` variable puts around it.
fn ungrouped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Group(group) => ungrouped(&group.expr),
        expr => expr,
    }
}

/// The text of an expression that is a string literal.
fn string(expr: &Expr) -> Option<&LitStr> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text),
        _ => None,
    }
}
