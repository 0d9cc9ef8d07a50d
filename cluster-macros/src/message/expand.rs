//! Writes the impls that the derive stands for.
//!
//! Only tokens are made here; everything has been judged before. Invariant: a type that the user
//! wrote keeps its span where it can take part in a type error.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{DeriveInput, Generics, Path, Type, parse_quote};

use super::field_types::bounded;
use super::given::Given;
use super::layout::Layout;

pub(super) fn expand(input: &DeriveInput, given: &Given, layout: &Layout) -> TokenStream {
    let krate = given.krate();
    let shaped = with_shapes(input, layout, &krate);
    let shape = shape(input, layout, &shaped, &krate);
    let message = message(input, given, shaped.clone(), &krate);
    let request = given.reply.as_ref().map(|reply| request(input, reply, shaped, &krate));
    // A scope of its own, so that nothing generated meets the user's names.
    quote! {
        const _: () = {
            #shape
            #message
            #request
        };
    }
}

fn shape(input: &DeriveInput, layout: &Layout, shaped: &Generics, krate: &Path) -> TokenStream {
    let ident = &input.ident;
    let name = ident.unraw().to_string();
    let Layout { text, nested } = layout;
    let (impl_generics, ty_generics, where_clause) = shaped.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::Shape for #ident #ty_generics #where_clause {
            fn shape() -> #krate::__private::ShapeNode {
                #krate::__private::ShapeNode::of::<Self>(
                    #name,
                    const { #krate::__private::hash(#text) },
                    const { &[#(<#nested as #krate::Shape>::shape as fn() -> _),*] },
                )
            }
        }
    }
}

fn message(input: &DeriveInput, given: &Given, generics: Generics, krate: &Path) -> TokenStream {
    let ident = &input.ident;
    let generics = with_serde(input, generics, krate);
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let name = given.name.as_ref().map_or_else(
        || {
            let ident = ident.unraw().to_string();
            quote!(::core::concat!(::core::module_path!(), "::", #ident))
        },
        |name| quote!(#name),
    );
    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::ClusterMessage for #ident #ty_generics #where_clause {
            const NAME: &'static str = #name;
        }
    }
}

fn request(input: &DeriveInput, reply: &Type, generics: Generics, krate: &Path) -> TokenStream {
    let ident = &input.ident;
    let mut generics = with_serde(input, generics, krate);
    if is_generic(input) {
        generics.make_where_clause().predicates.push(parse_quote!(#reply: #krate::ClusterReply));
    }
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::ClusterRequest for #ident #ty_generics #where_clause {
            type Reply = #reply;
        }
    }
}

/// The generics with the bounds that make every nested type have a shape.
fn with_shapes(input: &DeriveInput, layout: &Layout, krate: &Path) -> Generics {
    let mut generics = input.generics.clone();
    if !is_generic(input) {
        return generics;
    }
    let bounded = bounded(layout.nested.iter(), &generics);
    let ty = self_type(input);
    let clause = generics.make_where_clause();
    clause.predicates.push(parse_quote!(#ty: 'static));
    for ty in bounded {
        clause.predicates.push(parse_quote!(#ty: #krate::Shape));
    }
    generics
}

/// The generics with the rest of what a message is. Without generics the compiler checks it anyway,
/// and says it better.
fn with_serde(input: &DeriveInput, mut generics: Generics, krate: &Path) -> Generics {
    if is_generic(input) {
        let ty = self_type(input);
        generics.make_where_clause().predicates.push(parse_quote!(
            #ty: #krate::__private::Serialize + #krate::__private::DeserializeOwned
        ));
    }
    generics
}

fn self_type(input: &DeriveInput) -> Type {
    let ident = &input.ident;
    let (_, ty_generics, _) = input.generics.split_for_impl();
    parse_quote!(#ident #ty_generics)
}

/// Lifetimes too, which have been refused: the bounds then keep silent what follows from them.
fn is_generic(input: &DeriveInput) -> bool {
    input.generics.type_params().next().is_some() || input.generics.lifetimes().next().is_some()
}
