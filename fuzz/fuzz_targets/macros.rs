//! The macros: what stands in their parentheses, and what they stand on.
//!
//! A crate of macros can be called by a compiler alone, so its files are included here. Their list is that of
//! `cluster-macros/src/lib.rs`.
#![no_main]

#[path = "../../cluster-macros/src/args.rs"]
mod args;
#[path = "../../cluster-macros/src/attribute.rs"]
mod attribute;
#[path = "../../cluster-macros/src/bytes.rs"]
mod bytes;
#[path = "../../cluster-macros/src/check.rs"]
mod check;
#[path = "../../cluster-macros/src/child.rs"]
mod child;
#[path = "../../cluster-macros/src/duration.rs"]
mod duration;
#[path = "../../cluster-macros/src/errors.rs"]
mod errors;
#[path = "../../cluster-macros/src/expand.rs"]
mod expand;
#[path = "../../cluster-macros/src/fallback.rs"]
mod fallback;
#[path = "../../cluster-macros/src/function.rs"]
mod function;
#[path = "../../cluster-macros/src/fuzzing.rs"]
mod fuzzing;
#[path = "../../cluster-macros/src/message/mod.rs"]
mod message;
#[path = "../../cluster-macros/src/options.rs"]
mod options;
#[path = "../../cluster-macros/src/recycle.rs"]
mod recycle;
#[path = "../../cluster-macros/src/services.rs"]
mod services;
#[path = "../../cluster-macros/src/value.rs"]
mod value;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::macros(bytes));
