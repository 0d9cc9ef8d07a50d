//! Writes the program that the attribute stands for.
//!
//! Only tokens are made here; everything has been judged before. Invariant: each piece the user
//! wrote occurs once and with its own span, and each generated token that can take part in a type
//! error carries the span of the piece that would be wrong.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, FnArg, LitStr, Path, ReturnType, Signature, parse_quote};

use crate::args::{Args, Given};
use crate::duration::Backoff;
use crate::function::Function;
use crate::recycle::Recycle;
use crate::services::{Service, ServiceOptions};
use crate::value::{Flavor, Respawn, Schedule};

pub(crate) fn expand(args: &Args, function: &Function) -> TokenStream {
    let Function { attrs, vis, sig, body } = function;
    let krate: Path = match &args.crate_path {
        Some(given) => given.value.clone(),
        None => parse_quote!(::cluster),
    };
    let settings = settings(args, &krate);
    let builder = quote!(#krate::Builder::new() #settings);
    let run = run(args, sig, &krate, builder);
    // The user's function is a function still, inside ours: the compiler then judges its body by
    // its own signature and words, which it would not with the body in an `async` block.
    quote! {
        #(#attrs)*
        #vis fn main() -> ::std::process::ExitCode {
            #sig #body
            #run
        }
    }
}

/// One call on the builder for each option that was given.
fn settings(args: &Args, krate: &Path) -> TokenStream {
    let calls = [
        // A closure, since the expression is evaluated in the master alone.
        call(&args.workers, "workers_with", |count| quote!(|| #count)),
        call(&args.respawn, "respawn", |respawn| respawn_policy(*respawn, krate)),
        call(&args.backoff, "backoff", delays),
        call(&args.give_up, "give_up", ToTokens::to_token_stream),
        call(&args.grace, "grace", duration),
        call(&args.stop_delay, "stop_delay", duration),
        call(&args.start_timeout, "start_timeout", duration),
        call(&args.hang_timeout, "hang_timeout", duration),
        call(&args.recycle, "recycle", |recycle| limits(recycle, krate)),
        call(&args.surplus, "surplus", ToTokens::to_token_stream),
        call(&args.schedule, "schedule", |schedule| schedule_of(*schedule, krate)),
        call(&args.user, "user", ToTokens::to_token_stream),
        call(&args.group, "group", ToTokens::to_token_stream),
        call(&args.flavor, "flavor", |flavor| runtime_flavor(*flavor, krate)),
        call(&args.worker_threads, "worker_threads", |threads| {
            let threads = *threads as usize;
            quote!(#threads)
        }),
        call(&args.pin, "pin", |()| TokenStream::new()),
        call(&args.init, "init", ToTokens::to_token_stream),
        call(&args.master, "master", ToTokens::to_token_stream),
    ];
    quote!(#(#calls)*)
}

/// A call of `method` if the option was given. The method carries the option's span, so that
/// an editor shows the builder's documentation there, and a type error underlines the option.
fn call<T>(
    given: &Option<Given<T>>,
    method: &str,
    arguments: impl FnOnce(&T) -> TokenStream,
) -> Option<TokenStream> {
    let Given { name, value } = given.as_ref()?;
    let method = Ident::new(method, name.span());
    let arguments = arguments(value);
    Some(quote!(.#method(#arguments)))
}

/// What is made of the builder with all settings: what is preloaded, and the call that starts the cluster.
fn run(args: &Args, sig: &Signature, krate: &Path, builder: TokenStream) -> TokenStream {
    let main = &sig.ident;
    // A type that is no `Termination` is reported under the method, hence under its first token.
    let output = match &sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => Span::call_site(),
    };
    if let Some(services) = &args.services {
        let builder = match &args.preload {
            Some(preload) => preload_for_services(preload, &services.value, krate, &builder),
            None => builder,
        };
        let services = services.value.iter().map(|service| service_call(service, krate));
        let run = Ident::new("run_master", output);
        let Some(FnArg::Typed(parameter)) = sig.inputs.first() else {
            return quote!(#builder #(#services)* .#run(|_| #main()));
        };
        let master = Ident::new("master", parameter.ty.span());
        return quote!(#builder #(#services)* .#run(|#master| #main(#master)));
    }
    let Some(FnArg::Typed(parameter)) = sig.inputs.first() else {
        let preload = args.preload.as_ref().map(|preload| {
            let (method, kept) =
                (Ident::new("preload_only", preload.name.span()), kept(preload, krate));
            quote!(.#method(#kept))
        });
        let name = if args.blocking.is_some() { "run_blocking" } else { "run" };
        let run = Ident::new(name, output);
        return quote!(#builder #preload .#run(#main));
    };
    let preload = call(&args.preload, "preload", ToTokens::to_token_stream);
    if preload.is_some() {
        let name = if args.blocking.is_some() { "run_preloaded_blocking" } else { "run_preloaded" };
        let run = Ident::new(name, output);
        // A model of another type is reported under this argument, hence under the parameter's type.
        let model = Ident::new("model", parameter.ty.span());
        return quote!(#builder #preload .#run(|#model| #main(#model)));
    }
    let run = Ident::new("run_roles", output);
    // Another crate's `Role` is reported under the closure's argument, hence under that type; with
    // `main` given itself, the compiler would suggest a nonsensical edit of the user's signature.
    let role = Ident::new("role", parameter.ty.span());
    quote!(#builder .#run(|role| #main(#role)))
}

/// The call for one service. The method carries the service's span, so that a function that cannot be one
/// is reported there.
fn service_call(service: &Service, krate: &Path) -> TokenStream {
    let Service { path, name, options } = service;
    let method = Ident::new("service", name.span());
    let text = LitStr::new(&name.unraw().to_string(), name.span());
    let options = service_settings(options, krate);
    quote!(.#method(#text, #path, |options| options #options))
}

/// One call on a service's options for each that was given.
fn service_settings(options: &ServiceOptions, krate: &Path) -> TokenStream {
    let calls = [
        call(&options.workers, "workers_with", |count| quote!(|| #count)),
        call(&options.respawn, "respawn", |respawn| respawn_policy(*respawn, krate)),
        call(&options.backoff, "backoff", delays),
        call(&options.give_up, "give_up", ToTokens::to_token_stream),
        call(&options.grace, "grace", duration),
        call(&options.start_timeout, "start_timeout", duration),
        call(&options.hang_timeout, "hang_timeout", duration),
        call(&options.recycle, "recycle", |recycle| limits(recycle, krate)),
        call(&options.schedule, "schedule", |schedule| schedule_of(*schedule, krate)),
        call(&options.flavor, "flavor", |flavor| runtime_flavor(*flavor, krate)),
        call(&options.worker_threads, "worker_threads", |threads| {
            let threads = *threads as usize;
            quote!(#threads)
        }),
        call(&options.optional, "optional", |()| TokenStream::new()),
        call(&options.after, "after", |name| {
            let text = LitStr::new(&name.unraw().to_string(), name.span());
            quote!(#text)
        }),
    ];
    quote!(#(#calls)*)
}

fn delays(backoff: &Backoff) -> TokenStream {
    let (first, longest) = (duration(&backoff.first), duration(&backoff.longest));
    quote!(#first, #longest)
}

/// A closure that calls a function whose value nobody takes. Whether that is a `Result` cannot be inferred from
/// a use, so it is asked of the value: the first `outcome` that fits is for results.
fn kept(preload: &Given<Expr>, krate: &Path) -> TokenStream {
    let value = &preload.value;
    let outcome = Ident::new("outcome", value.span());
    quote! {
        || {
            use #krate::__private::{KeptResult as _, KeptValue as _};
            let kept: &'static _ =
                ::std::boxed::Box::leak(::std::boxed::Box::new(#krate::__private::Kept(#value())));
            kept.#outcome()
        }
    }
}

/// Statements that make the builder know what is preloaded, and its name. Whether a service takes the value is
/// for the compiler to see: the first `preload` that fits is for functions none of which has a parameter.
fn preload_for_services(
    preload: &Given<Expr>,
    services: &[Service],
    krate: &Path,
    builder: &TokenStream,
) -> TokenStream {
    let Given { name, value } = preload;
    let method = Ident::new("preload", name.span());
    let kept = kept(preload, krate);
    let functions =
        services.iter().rev().fold(quote!(()), |rest, Service { path, .. }| quote!((#path, #rest)));
    // Names that no service can have.
    let local = |name| Ident::new(name, Span::mixed_site());
    let (given, made) = (local("functions"), local("builder"));
    quote! {
        let #made = {
            use #krate::__private::{ForNobody as _, ForSome as _};
            let #given = &#krate::__private::Functions(#functions);
            #given.#method(#builder, #value, #kept)
        };
        #made
    }
}

fn respawn_policy(respawn: Respawn, krate: &Path) -> TokenStream {
    match respawn {
        Respawn::Always => quote!(#krate::Respawn::Always),
        Respawn::OnFailure => quote!(#krate::Respawn::OnFailure),
        Respawn::Never => quote!(#krate::Respawn::Never),
    }
}

fn limits(recycle: &Recycle, krate: &Path) -> TokenStream {
    let Recycle { connections, age, rss, jitter } = recycle;
    let connections = connections.map(|connections| quote!(.connections(#connections)));
    let age = age.as_ref().map(duration).map(|age| quote!(.age(#age)));
    let rss = rss.map(|bytes| quote!(.rss(#bytes)));
    let jitter = jitter.map(|jitter| quote!(.jitter(#jitter)));
    quote!(#krate::Recycle::new() #connections #age #rss #jitter)
}

fn schedule_of(schedule: Schedule, krate: &Path) -> TokenStream {
    let by_key = |peek: TokenStream| quote!(#krate::Schedule::ByKey(#krate::net::Peek::#peek));
    match schedule {
        Schedule::RoundRobin => quote!(#krate::Schedule::RoundRobin),
        Schedule::LeastConnections => quote!(#krate::Schedule::LeastConnections),
        Schedule::Sticky => quote!(#krate::Schedule::Sticky),
        Schedule::Shared => quote!(#krate::Schedule::Shared),
        Schedule::Kernel => quote!(#krate::Schedule::Kernel),
        Schedule::ByHost => by_key(quote!(Host)),
        Schedule::ByServerName => by_key(quote!(ServerName)),
        Schedule::ByProxy => by_key(quote!(Proxy)),
        Schedule::ByLine => by_key(quote!(Line)),
    }
}

fn runtime_flavor(flavor: Flavor, krate: &Path) -> TokenStream {
    match flavor {
        Flavor::CurrentThread => quote!(#krate::Flavor::CurrentThread),
        Flavor::Local => quote!(#krate::Flavor::Local),
        Flavor::MultiThread => quote!(#krate::Flavor::MultiThread),
    }
}

fn duration(duration: &Duration) -> TokenStream {
    let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#seconds, #nanoseconds))
}
