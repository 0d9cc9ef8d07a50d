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

/// The kind of runtime a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    CurrentThread,
    Local,
    MultiThread,
}

impl Written {
    /// An example of this option, back-ticked for a message.
    fn example(&self) -> String {
        example(&self.name.to_string())
    }

    /// The value, or a report that there is none.
    fn expr(&self, errors: &mut Errors) -> Option<&Expr> {
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
        let expr = self.expr(errors)?;
        let name = &self.name;
        if let Expr::Lit(ExprLit { lit: Lit::Int(digits), .. }) = expr {
            // The parse ignores a suffix, and so would let `5s` pass for a number.
            match digits.base10_parse::<u32>() {
                Ok(number @ 1..) if digits.suffix().is_empty() => return Some(number),
                _ => {}
            }
        }
        let (max, example) = (u32::MAX, self.example());
        errors.at(expr, format_args!("`{name}` takes a whole number from 1 to {max}: {example}"));
        None
    }

    /// Reads `respawn`, the only option that has a meaning without a value.
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
        let text = self.quoted("a duration", errors)?;
        parse_duration(&text.value()).map_err(|message| errors.at(text, message)).ok()
    }

    /// Reads a duration of which zero would make no sense.
    pub(crate) fn positive_duration(&self, errors: &mut Errors) -> Option<Duration> {
        let text = self.quoted("a duration", errors)?;
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

    pub(crate) fn backoff(&self, errors: &mut Errors) -> Option<Backoff> {
        let text = self.quoted("two durations", errors)?;
        parse_backoff(&text.value()).map_err(|message| errors.at(text, message)).ok()
    }

    /// The string literal of an option whose value is written in quotes.
    fn quoted(&self, what: &str, errors: &mut Errors) -> Option<&LitStr> {
        let expr = self.expr(errors)?;
        let text = string(expr);
        if text.is_none() {
            let name = &self.name;
            let remedy = match expr {
                // `25s` is one token, a number with a suffix: all that is missing is the quotes.
                Expr::Lit(lit) if parse_duration(&lit.to_token_stream().to_string()).is_ok() => {
                    format!("`{name} = \"{}\"`", lit.to_token_stream())
                }
                _ => self.example(),
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
