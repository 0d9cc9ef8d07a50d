//! Imports only go down: a file may use files of its own floor's modules and of lower floors.

use std::collections::BTreeSet;

use super::{assert_none, sources};

/// The floors of `cluster-rt`, lowest first: module names directly below the crate.
const FLOORS: &[&[&str]] = &[
    &["id", "config", "endpoint", "error", "event", "notify", "stats", "wire", "policy"],
    &["sys"],
    &["link", "listen", "handoff", "mail", "message", "preload", "shard"],
    &["zygote"],
    &["master", "worker"],
    &["net", "http", "process"],
    &["blocking"],
    &["builder", "__private", "fuzzing"],
    &["lib"],
];

/// Modules of one floor that may not know each other.
const STRANGERS: [(&str, &str); 2] = [("master", "worker"), ("worker", "master")];

/// Where tokio may be named: nothing that runs in the zygote, no decision, no thread of the master's
/// own but the handle.
const TOKIO: &[&str] = &[
    "cluster-rt/src/builder.rs",
    // Only whether a runtime is there.
    "cluster-rt/src/builder/ground.rs",
    "cluster-rt/src/lib.rs",
    "cluster-rt/src/master/control.rs",
    "cluster-rt/src/master/control/orders.rs",
    "cluster-rt/src/master/events.rs",
    "cluster-rt/src/master/handle.rs",
    "cluster-rt/src/master/order.rs",
    "cluster-rt/src/message/",
    "cluster-rt/src/net/",
    "cluster-rt/src/process/",
    "cluster-rt/src/shard.rs",
    "cluster-rt/src/worker/",
];

fn floor(module: &str) -> usize {
    let floor = FLOORS.iter().position(|floor| floor.contains(&module));
    floor.unwrap_or_else(|| panic!("{module} is on no floor: add it to FLOORS in this test"))
}

#[test]
fn imports_only_go_down() {
    let mut offences = Vec::new();
    for source in sources("cluster-rt/src") {
        let own = module_of(&source.path);
        // Also of a module that uses none.
        let here = floor(&own);
        for used in used_modules(&source.text) {
            let up = floor(&used) > here;
            let sideways = STRANGERS.contains(&(own.as_str(), used.as_str()));
            if used != own && (up || sideways) {
                offences.push(format!("{} ({own}) uses {used}", source.path));
            }
        }
    }
    assert_none("imports go down the floors of ARCHITECTURE.md", &offences);
}

#[test]
fn tokio_is_named_only_where_user_code_runs() {
    let offences = sources("cluster-rt/src")
        .into_iter()
        .filter(|s| !TOKIO.iter().any(|place| s.path.starts_with(place)))
        .filter(|s| code(&s.text).any(|line| line.contains("tokio::")))
        .map(|s| s.path)
        .collect::<Vec<_>>();
    assert_none(
        "tokio stays out of zygote, sys, decisions and the master's own threads",
        &offences,
    );
}

fn module_of(path: &str) -> String {
    let inner = path.trim_start_matches("cluster-rt/src/");
    inner.split(['/', '.']).next().unwrap_or(inner).to_owned()
}

/// The lines that are no comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The modules directly below the crate that a file names, singly or in a `use crate::{..}` tree.
fn used_modules(text: &str) -> BTreeSet<String> {
    let text: String = code(text).flat_map(|line| [line, "\n"]).collect();
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        // Not `$crate`, nor the end of another word.
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '$' || c == '_') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        if let Some(tree) = rest.strip_prefix('{') {
            used.extend(first_words(tree));
        } else {
            used.extend(word(rest));
        }
    }
    // Names that are re-exported at the top are no modules.
    used.retain(|name| name.chars().next().is_some_and(char::is_lowercase));
    used.retain(|name| FLOORS.iter().any(|floor| floor.contains(&name.as_str())));
    used
}

/// The first word of each branch of a use tree.
fn first_words(tree: &str) -> Vec<String> {
    let (mut depth, mut start, mut words) = (0, true, Vec::new());
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && c.is_alphabetic() => {
                words.extend(word(&tree[at..]));
                start = false;
            }
            _ => {}
        }
    }
    words
}

fn word(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}
