//! The rules that need more than one option, or the function's signature.
//!
//! One function for each rule, opened by the reason for it. What a single value may be is judged in
//! `value`. Invariant: a rule keeps silent about what has been complained of already, so that each
//! mistake is reported once.

use quote::ToTokens;
use syn::{FnArg, Safety, Signature, Type};

use crate::args::Args;
use crate::errors::Errors;
use crate::function::{Function, spelled, starts_a_runtime};
use crate::value::Flavor;

/// Reports every broken rule.
pub(crate) fn check(args: &Args, function: &Function, errors: &mut Errors) {
    worker_threads_need_several_threads(args, errors);
    master_is_named_once(args, &function.sig, errors);
    no_other_runtime(function, errors);
    name_is_main(&function.sig, errors);
    blocking_has_no_runtime(args, &function.sig, errors);
    function_is_async(args, &function.sig, errors);
    function_is_plain(&function.sig, errors);
    preload_is_for_workers(args, &function.sig, errors);
    parameter_can_be_given(args, &function.sig, errors);
}

/// The other flavors have one thread whatever the number says: ignoring it would hide that.
fn worker_threads_need_several_threads(args: &Args, errors: &mut Errors) {
    let Some(threads) = &args.worker_threads else { return };
    let name = &threads.name;
    match &args.flavor {
        Some(flavor) if flavor.value == Flavor::MultiThread => {}
        None if args.mentions("flavor") => {}
        None => errors.at(
            name,
            "`worker_threads` needs `flavor = \"multi_thread\"`: the default flavor has one thread",
        ),
        Some(_) => errors.at(
            name,
            "`worker_threads` needs `flavor = \"multi_thread\"`: this flavor has one thread",
        ),
    }
}

/// With a `Role`, `main` itself is the master's branch; a second one would never know of the first.
fn master_is_named_once(args: &Args, sig: &Signature, errors: &mut Errors) {
    let Some(master) = &args.master else { return };
    if sig.inputs.iter().any(is_role) {
        errors.at(
            &master.name,
            "`master` names the master's branch, and so does the `Role` parameter of `main`: \
             remove one of them",
        );
    }
}

/// What is preloaded is in the zygote and its workers; a `Role` runs `main` in the master too.
fn preload_is_for_workers(args: &Args, sig: &Signature, errors: &mut Errors) {
    let Some(preload) = &args.preload else { return };
    if sig.inputs.iter().any(is_role) {
        errors.at(
            &preload.name,
            "`preload` makes its value for the workers, and with a `Role` parameter `main` runs in the \
             master as well: write the master's branch as a function of its own, `master = watch`",
        );
    }
}

/// A runtime below would run inside each worker's own runtime, and panic there. One above has run
/// before us and left a function that is not `async`, which another rule reports.
fn no_other_runtime(function: &Function, errors: &mut Errors) {
    for attr in &function.attrs {
        let path = attr.path();
        if !starts_a_runtime(path) {
            continue;
        }
        let spelled = spelled(path);
        if spelled.trim_start_matches("::") == "cluster::main" {
            errors.at(attr, "`#[cluster::main]` is given twice: write all options in one");
        } else {
            errors.at(
                attr,
                format_args!(
                    "`#[{spelled}]` starts a runtime of its own: remove it, `#[cluster::main]` \
                     starts one in every worker"
                ),
            );
        }
    }
}

/// Every process of the cluster starts where the program starts.
fn name_is_main(sig: &Signature, errors: &mut Errors) {
    let name = &sig.ident;
    if name != "main" {
        errors.at(
            name,
            format_args!("`#[cluster::main]` belongs on the program's `main`, not on `{name}`"),
        );
    }
}

/// A blocking worker has no runtime on which the other options could have their effect, and the
/// master's branch needs one of its own.
fn blocking_has_no_runtime(args: &Args, sig: &Signature, errors: &mut Errors) {
    if args.blocking.is_none() {
        return;
    }
    let runtime = "`blocking` gives the workers no runtime";
    if let Some(flavor) = &args.flavor {
        errors.at(&flavor.name, format_args!("{runtime}: `flavor` would have no effect"));
    }
    if let Some(timeout) = &args.hang_timeout {
        errors.at(
            &timeout.name,
            format_args!(
                "{runtime}, whose task the heartbeat is: `hang_timeout` cannot be watched"
            ),
        );
    }
    if let Some(role) = sig.inputs.iter().find(|input| is_role(input)) {
        errors.at(
            role,
            "with `blocking`, `main` is the worker's alone: name the master's branch by \
             `master = watch`, an `async fn watch(master: cluster::Master)`",
        );
    }
    if let Some(keyword) = &sig.asyncness {
        errors.at(keyword, "with `blocking`, `main` is not `async`: remove one of the two");
    }
}

/// A body that is not `async` would block its worker's only thread, and it is what another
/// runtime's attribute leaves behind.
fn function_is_async(args: &Args, sig: &Signature, errors: &mut Errors) {
    if sig.asyncness.is_none() && !args.mentions("blocking") {
        errors.at(
            sig.fn_token,
            "the `async` keyword is missing: write `async fn main`; if `#[tokio::main]` or another \
             runtime's attribute stands above, remove it",
        );
    }
}

/// Nobody could choose the type of a generic `main`, or keep the promise of an unsafe one.
fn function_is_plain(sig: &Signature, errors: &mut Errors) {
    if let Some(keyword) = &sig.constness {
        errors.at(keyword, "`main` cannot be `const`");
    }
    if let Safety::Unsafe(keyword) = &sig.safety {
        errors.at(keyword, "`main` cannot be `unsafe`: nobody could uphold its conditions");
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "`main` cannot have another calling convention");
    }
    if !sig.generics.params.is_empty() {
        errors.at(&sig.generics, "`main` cannot be generic");
    }
    if let Some(clause) = &sig.generics.where_clause {
        errors.at(clause, "`main` cannot have a `where` clause");
    }
    if let Some(variadic) = &sig.variadic {
        errors.at(variadic, "`main` cannot be variadic");
    }
}

/// `main` is called by the cluster, which has the role of the process to give, or what was preloaded.
fn parameter_can_be_given(args: &Args, sig: &Signature, errors: &mut Errors) {
    let preloads = args.mentions("preload");
    for (position, input) in sig.inputs.iter().enumerate() {
        match input {
            FnArg::Receiver(receiver) => {
                errors.at(receiver, "`main` cannot be a method: it takes no `self`");
            }
            FnArg::Typed(_) if position > 0 && preloads => {
                errors.at(input, "`main` takes at most one parameter: what `preload` makes");
            }
            FnArg::Typed(_) if position > 0 => {
                errors.at(input, "`main` takes at most one parameter, of type `cluster::Role`");
            }
            FnArg::Typed(_) if is_role(input) => {}
            FnArg::Typed(parameter) if preloads => is_shared_reference(&parameter.ty, errors),
            FnArg::Typed(parameter) => errors.at(&parameter.ty, not_a_role(&parameter.ty)),
        }
    }
}

/// What is preloaded belongs to nobody alone.
fn is_shared_reference(ty: &Type, errors: &mut Errors) {
    match ungrouped(ty) {
        Type::Reference(reference) => {
            if let Some(mutable) = &reference.mutability {
                errors.at(mutable, "what `preload` makes is shared: `main` takes it by `&`");
            }
        }
        ty => match last_segment(ty).as_deref() {
            Some("Master") => errors.at(
                ty,
                "with `preload`, `main` takes a reference to what that makes; the master's handle is \
                 given to the function named by `master = watch`",
            ),
            Some("Worker") => errors.at(
                ty,
                "with `preload`, `main` takes a reference to what that makes; the worker's handle is \
                 given by `cluster::worker()`",
            ),
            _ => errors.at(
                ty,
                format_args!(
                    "with `preload`, `main` takes a reference to what that makes: `&{}`",
                    ty.to_token_stream()
                ),
            ),
        },
    }
}

/// The handles are what a parameter of another type is most likely meant to get.
fn not_a_role(ty: &Type) -> &'static str {
    match last_segment(ty).as_deref() {
        Some("Master") => {
            "`main` takes no parameter or one `cluster::Role`; the master's handle is in \
             `Role::Master(master)`, or is given to the function named by `master = watch`"
        }
        Some("Worker") => {
            "`main` takes no parameter or one `cluster::Role`; the worker's handle is in \
             `Role::Worker(worker)`, or is given by `cluster::worker()`"
        }
        _ if matches!(ungrouped(ty), Type::Reference(_)) => {
            "`main` takes no parameter or one `cluster::Role`; it takes a reference to what a function \
             makes that is named by `preload = load`"
        }
        _ => "`main` takes no parameter or one `cluster::Role`",
    }
}

fn is_role(input: &FnArg) -> bool {
    match input {
        FnArg::Typed(parameter) => last_segment(&parameter.ty).as_deref() == Some("Role"),
        FnArg::Receiver(_) => false,
    }
}

/// The last name in a path.
fn last_segment(ty: &Type) -> Option<String> {
    match ungrouped(ty) {
        Type::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        _ => None,
    }
}

/// The type without what a `macro_rules` variable or parentheses put around it.
fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        ty => ty,
    }
}
