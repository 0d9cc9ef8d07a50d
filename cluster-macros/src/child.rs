//! `#[cluster::child]`: judges the function and writes what makes it an entry.
//!
//! The function stays a function of its name, which returns a marked future; a static in the list of entries
//! lets the other process find it. Invariant: as for `expand`, each piece the user wrote occurs once.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    FnArg, Path, ReturnType, Safety, Signature, Token, Type, parse::Parser, parse_quote,
    spanned::Spanned,
};

use crate::{errors::Errors, function::Function};

pub(crate) fn run(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::new();
    let krate = read_args(args, &mut errors);
    let function: Function = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(_) => {
            errors.at(&item, "`#[cluster::child]` belongs on an `async fn`");
            return errors.into_compile_errors().into_iter().chain(item).collect();
        }
    };
    check(&function.sig, &mut errors);
    let Function { attrs, vis, sig, body } = &function;
    if errors.count() > 0 {
        let errors = errors.into_compile_errors();
        return quote!(#errors #(#attrs)* #vis #sig #body);
    }
    let _ = errors.into_compile_errors();
    expand(&krate, &function)
}

/// Reads `crate = path`, all that can be said.
fn read_args(args: TokenStream, errors: &mut Errors) -> Path {
    let usual: Path = parse_quote!(::cluster);
    if args.is_empty() {
        return usual;
    }
    let read = |input: syn::parse::ParseStream<'_>| {
        input.parse::<Token![crate]>()?;
        input.parse::<Token![=]>()?;
        let path = match input.parse::<syn::LitStr>() {
            Ok(text) => text.parse()?,
            Err(_) => input.call(Path::parse_mod_style)?,
        };
        input.parse::<Option<Token![,]>>()?;
        Ok(path)
    };
    match read.parse2(args.clone()) {
        Ok(path) => path,
        Err(_) => {
            errors.at(args, "`#[cluster::child]` takes nothing but `crate = path`");
            usual
        }
    }
}

fn check(sig: &Signature, errors: &mut Errors) {
    if sig.asyncness.is_none() {
        errors.at(sig.fn_token, "a child is async: write `async fn`");
    }
    if let Some(keyword) = &sig.constness {
        errors.at(keyword, "a child cannot be `const`");
    }
    if let Safety::Unsafe(keyword) = &sig.safety {
        errors.at(keyword, "a child cannot be `unsafe`: nobody could uphold its conditions");
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "a child cannot have another calling convention");
    }
    if !sig.generics.params.is_empty() {
        errors.at(&sig.generics, "a child cannot be generic: it is found by its name");
    }
    if let Some(clause) = &sig.generics.where_clause {
        errors.at(clause, "a child cannot have a `where` clause");
    }
    if let ReturnType::Type(_, ty) = &sig.output {
        if matches!(**ty, Type::Never(_)) {
            errors.at(ty, "a child that never returns is written `-> std::convert::Infallible`");
        }
    }
    let needed = "a child takes one parameter, `parent: cluster::process::Parent<Out, In>`";
    match sig.inputs.first() {
        None => errors.at(&sig.ident, needed),
        Some(FnArg::Receiver(receiver)) => {
            errors.at(receiver, "a child cannot be a method: it takes no `self`");
        }
        Some(FnArg::Typed(_)) => {}
    }
    for more in sig.inputs.iter().skip(1) {
        errors.at(more, needed);
    }
}

fn expand(krate: &Path, function: &Function) -> TokenStream {
    let Function { attrs, vis, sig, body } = function;
    let name = &sig.ident;
    let Some(FnArg::Typed(parameter)) = sig.inputs.first() else { return TokenStream::new() };
    let (pattern, ty) = (&parameter.pat, &parameter.ty);
    let parameter_attrs = &parameter.attrs;
    let output: TokenStream = match &sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let private = quote!(#krate::__private);
    // A parameter of another type is an error under that type.
    let hidden = Span::mixed_site();
    let argument = quote_spanned!(hidden=> parent);
    let call = quote_spanned!(ty.span()=> #private::run_child(connection, child));
    quote! {
        #(#attrs)*
        #vis fn #name(
            #argument: #ty
        ) -> impl #krate::process::ChildFuture<Output = #output> {
            async fn child(#(#parameter_attrs)* #pattern: #ty) -> #output #body

            struct Function;

            impl #private::Tag for Function {
                fn entry() -> &'static #private::Entry {
                    &ENTRY
                }
            }

            fn run(connection: #private::Connection) -> i32 {
                #call
            }

            #[#private::linkme::distributed_slice(#private::CHILDREN)]
            #[linkme(crate = #private::linkme)]
            static ENTRY: #private::Entry = #private::Entry::new(
                ::core::concat!(
                    ::core::module_path!(), "::", ::core::stringify!(#name), "@",
                    ::core::line!(), ":", ::core::column!()
                ),
                run,
            );

            #private::Marked::new(child(#argument), Function)
        }
    }
}
