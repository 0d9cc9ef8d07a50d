//! The macros as one function of arbitrary text, for the fuzz target and for the test of its corpus.
//!
//! There only in unit tests and in the fuzz target, which includes the files of this crate by their paths: nothing
//! but a compiler can call a macro.

use std::str::FromStr;

use proc_macro2::TokenStream;

use crate::{attribute, child, message};

/// Nested deeper than this, it is the parser of the Rust language that overflows the stack.
const DEPTH_MAX: usize = 40;

/// The first line is what stands in the attribute's parentheses, the rest is what the macro stands on.
///
/// # Panics
/// If a macro does, if what it makes of a good item is not made of items.
pub(crate) fn macros(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (args, item) = text.split_once('\n').unwrap_or((&text, "async fn main() {}"));
    let (Some(args), Some(item)) = (tokens(args), tokens(item)) else { return };
    let is_function = syn::parse2::<syn::ItemFn>(item.clone()).is_ok();
    let is_type = syn::parse2::<syn::DeriveInput>(item.clone()).is_ok();
    for expansion in
        [attribute::expand(args.clone(), &item), child::run(args.clone(), item.clone())]
    {
        if is_function {
            assert_items(&expansion);
        }
    }
    let attributed = "#[message(".to_owned() + &args.to_string() + ")]" + &item.to_string();
    for input in [item, tokens(&attributed).unwrap_or_default()] {
        let expansion = message::expand(input);
        if is_type {
            assert_items(&expansion);
        }
    }
}

/// `text` as tokens, if it is made of tokens and not nested too deeply.
fn tokens(text: &str) -> Option<TokenStream> {
    let openers = text.matches(['(', '[', '{', '<', '!', '-', '*', '&', '|', '.', '=']).count();
    TokenStream::from_str(text).ok().filter(|_| openers <= DEPTH_MAX)
}

fn assert_items(expansion: &TokenStream) {
    if let Err(error) = syn::parse2::<syn::File>(expansion.clone()) {
        panic!("{error}: {expansion}");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn the_corpus_is_fine() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/macros");
        let mut count = 0;
        for entry in fs::read_dir(&folder).expect("a corpus") {
            let path = entry.expect("an entry").path();
            println!("{}", path.display());
            macros(&fs::read(&path).expect("a file"));
            count += 1;
        }
        assert!(count > 0, "nothing in {}", folder.display());
    }
}
