//! One use of `#[cluster::main]`, from tokens to tokens.
//!
//! `args` and `function` read what the user wrote, `check` judges it, `expand` writes the program,
//! `fallback` writes what stands beside an error instead. Invariant: whatever the input, the user's
//! function is emitted exactly once, and every mistake is reported under the tokens that make it.

use proc_macro2::TokenStream;
use quote::quote;

use crate::args::Args;
use crate::errors::Errors;
use crate::function::Function;
use crate::{check, fallback};

/// Reads, checks and expands; if anything is wrong, gives every mistake and the function instead.
pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::new();
    let args = Args::read(args, &mut errors);
    let function: Function = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let message = format!("`#[cluster::main]` belongs on `async fn main`: {error}");
            errors.push(syn::Error::new(error.span(), message));
            let reports = errors.into_compile_errors();
            return quote!(#reports #item);
        }
    };
    check::check(&args, &function, &mut errors);
    let reports = errors.into_compile_errors();
    if reports.is_empty() {
        return crate::expand::expand(&args, &function);
    }
    let function = fallback::expand(&function);
    quote!(#reports #function)
}

#[cfg(test)]
mod tests {
    use proc_macro2::{Delimiter, Group};

    use super::*;

    const MAIN: &str = "async fn main() {}";

    /// The expansion as text, spaces removed.
    fn expanded(args: TokenStream, item: &str) -> String {
        let item = item.parse().expect("the item is made of tokens");
        expand(args, &item).to_string().replace(' ', "")
    }

    fn mistakes(expansion: &str) -> usize {
        expansion.matches("compile_error!").count()
    }

    #[test]
    fn an_option_not_given_is_not_mentioned() {
        let text = expanded(quote!(), MAIN);
        assert!(text.ends_with("::cluster::Builder::new().run(main)}"), "{text}");
    }

    #[test]
    fn every_option_is_one_call_in_a_fixed_order() {
        let args = quote!(
            crate = rt,
            master = watch,
            workers = 1 + 2,
            give_up = 7,
            respawn,
            backoff = "1ms..2s",
            stop_delay = "0s"
        );
        let text = expanded(args, MAIN);
        let calls = "rt::Builder::new().workers_with(||1+2).respawn(rt::Respawn::Always)\
             .backoff(::core::time::Duration::new(0u64,1000000u32),\
             ::core::time::Duration::new(2u64,0u32)).give_up(7u32)\
             .stop_delay(::core::time::Duration::new(0u64,0u32)).master(watch).run(main)}";
        assert!(text.ends_with(calls), "{text}");
    }

    #[test]
    fn a_list_becomes_one_value() {
        let args =
            quote!(recycle(rss = "1KiB", connections = 5, jitter = 0), surplus = 2, user = "0");
        let text = expanded(args, MAIN);
        let calls = "::cluster::Builder::new().recycle(::cluster::Recycle::new().connections(5u64)\
             .rss(1024u64).jitter(0f64)).surplus(2usize).user(\"0\").run(main)}";
        assert!(text.ends_with(calls), "{text}");
    }

    #[test]
    fn every_option_takes_its_own_example() {
        // `blocking` and `services` go with other kinds of `main`.
        let mut examples = crate::options::AVAILABLE.map(|(_, example)| example).to_vec();
        examples.retain(|example| *example != "blocking" && !example.starts_with("services"));
        let text = expanded(examples.join(", ").parse().unwrap(), MAIN);
        assert_eq!(mistakes(&text), 0, "{text}");
        examples.retain(|example| !example.starts_with("workers") && *example != "master = watch");
        examples.push("services(web = 4, admin::jobs(workers = 2, optional, after = web))");
        let text = expanded(examples.join(", ").parse().unwrap(), MAIN);
        assert!(
            text.ends_with(
                "builder.service(\"web\",web,|options|options.workers_with(||4))\
             .service(\"jobs\",admin::jobs,|options|options.workers_with(||2).optional()\
             .after(\"web\")).run_master(|_|main())}"
            ),
            "{text}"
        );
        assert!(text.contains(".pin().init(setup),load,||{"), "{text}");
        let text = expanded(quote!(blocking, workers = 2), "fn main() {}");
        assert!(text.contains(".run_blocking(main)"), "{text}");
    }

    #[test]
    fn a_value_from_a_macro_variable_is_read_through_its_invisible_group() {
        let group = Group::new(Delimiter::None, quote!(5));
        let text = expanded(quote!(give_up = #group), MAIN);
        assert!(text.contains(".give_up(5u32)"), "{text}");
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let args =
            quote!(wrokers = 4, grace = 25, grace = "1s", give_up = 5s, init, 7 = 7, pin = 1);
        let text = expanded(args, "fn main(port: u16) {}");
        assert_eq!(mistakes(&text), 9, "{text}");
    }

    #[test]
    fn a_mistake_costs_no_later_option() {
        let args = quote!(workers = 4 +, = , threads(1, 2) = x y, respawn = maybe);
        let text = expanded(args, MAIN);
        assert!(text.contains("`respawn`takesoneof"), "{text}");
    }

    #[test]
    fn the_body_is_emitted_once_beside_an_error() {
        let item = "#[tokio::main] fn main(a: u8) { unfinished.await; let }";
        let text = expanded(quote!(workers), item);
        assert_eq!(mistakes(&text), 4, "{text}");
        assert!(text.ends_with("}fnmain(){asyncfnmain(a:u8){unfinished.await;let}}"), "{text}");
    }

    #[test]
    fn what_is_not_a_function_is_left_as_it_is() {
        let text = expanded(quote!(), "struct Main;");
        assert_eq!(mistakes(&text), 1);
        assert!(text.ends_with("structMain;"), "{text}");
    }
}
