//! The rules of the repository that no compiler checks: format, sizes, words, floors, examples, figures.
//!
//! Reads files, starts nothing but `cargo fmt` and, for files that are made, what makes them.

mod floors;
mod fuzz;
mod results;
mod sizes;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// A source file: its path from the root, and its text.
struct Source {
    path: String,
    text: String,
}

/// Every Rust file below `folder`.
fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                let path = path.strip_prefix(root()).expect("below the root");
                found.push(Source { path: path.to_string_lossy().into_owned(), text });
            }
        }
    }
    assert!(!found.is_empty(), "no source below {folder}");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// All of ours but the programs that are to fail to compile.
fn all_sources() -> Vec<Source> {
    let mut all = Vec::new();
    let folders =
        ["benches", "cluster-rt", "cluster-macros", "examples", "fuzz/fuzz_targets", "tests"];
    for folder in folders {
        all.extend(sources(folder));
    }
    all.retain(|source| !source.path.contains("/ui/"));
    all
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn assert_none(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}

#[test]
fn everything_is_formatted() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // The fuzz targets are a workspace of their own.
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let output = Command::new(&cargo)
            .args(["fmt", "--all", "--check", "--manifest-path", manifest])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("not installed") {
            cluster_tests::skip("format is not checked: rustfmt is not installed");
            return;
        }
        assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn every_file_begins_with_what_it_is_responsible_for() {
    let silent = all_sources()
        .into_iter()
        .filter(|s| !s.text.starts_with("//! ") && !s.text.starts_with("#!"))
        .map(|s| s.path)
        .collect::<Vec<_>>();
    assert_none("the first line of a file says what it is responsible for", &silent);
}

#[test]
fn unsafe_has_one_address() {
    let elsewhere = all_sources()
        .into_iter()
        .filter(|s| !s.path.starts_with("cluster-rt/src/sys/"))
        .flat_map(|s| {
            let lines = s.text.lines().enumerate().filter(|(_, line)| says_unsafe(line));
            lines.map(|(at, line)| format!("{}:{}: {line}", s.path, at + 1)).collect::<Vec<_>>()
        })
        .collect::<Vec<_>>();
    assert_none("only cluster-rt/src/sys may say `unsafe`", &elsewhere);
}

/// The keyword before a block, function, impl or trait, outside comments and strings.
fn says_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait", "unsafe extern", "allow(unsafe_code"]
        .iter()
        .any(|form| code.match_indices(form).any(|(at, _)| !code[..at].contains(['"', '`'])))
}

#[test]
fn nothing_is_left_unfinished() {
    // Put together here, so that this file does not find itself.
    let marks = ["todo", "dbg", "unimplemented"].map(|word| format!("{word}!("));
    let notes = ["TO", "FIX", "XX"].map(|start| match start {
        "TO" => format!("{start}DO"),
        "FIX" => format!("{start}ME"),
        _ => format!("{start}X"),
    });
    let unfinished = all_sources()
        .into_iter()
        .filter(|s| !s.path.starts_with("cluster-macros/"))
        .flat_map(|s| {
            let found = marks.iter().chain(&notes).filter(|mark| s.text.contains(mark.as_str()));
            found.map(|mark| format!("{}: {mark}", s.path)).collect::<Vec<_>>()
        })
        .collect::<Vec<_>>();
    assert_none("nothing unfinished is committed", &unfinished);
}

#[test]
fn no_file_is_named_for_leftovers() {
    let heaps = all_sources()
        .into_iter()
        .map(|s| s.path)
        .filter(|path| {
            let words = path.split(['/', '_', '.']);
            words.into_iter().any(|word| {
                ["util", "utils", "common", "helper", "helpers", "manager", "misc"].contains(&word)
            })
        })
        .collect::<Vec<_>>();
    assert_none("a file is named for its job", &heaps);
}

#[test]
fn every_example_is_listed_and_says_how_to_run_it() {
    let (readme, table) = (read("README.md"), read("examples/README.md"));
    let mut missing = Vec::new();
    for example in sources("examples/examples") {
        // A file, or a folder of several with a `main.rs`.
        let inner = example.path.trim_start_matches("examples/examples/");
        let name = match inner.split_once('/') {
            None => inner.trim_end_matches(".rs"),
            Some((folder, "main.rs")) => folder,
            Some(_) => continue,
        };
        let command = format!("--example {name}");
        for (place, text) in
            [("its head", &example.text), ("README.md", &readme), ("examples/README.md", &table)]
        {
            if !text.contains(&command) {
                missing.push(format!("{}: {place} does not say `{command}`", example.path));
            }
        }
    }
    assert_none("every example can be found and run", &missing);
}

#[test]
fn the_changelog_knows_the_version() {
    let manifest = read("Cargo.toml");
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = "))
        .expect("a version in Cargo.toml")
        .trim_matches('"');
    assert!(read("CHANGELOG.md").contains(&format!("## [{version}]")), "no entry for {version}");
}

#[test]
fn every_option_is_documented_in_the_readme() {
    let readme = read("README.md");
    let config = read("cluster-rt/src/config.rs");
    let missing = config
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => "))
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .filter(|name| {
            let option = name.to_ascii_lowercase();
            !readme.contains(&format!("`{option}")) && !readme.contains(&format!("CLUSTER_{name}"))
        })
        .collect::<Vec<_>>();
    assert_none("README.md names every option", &missing);
}

#[test]
fn the_architecture_names_every_module() {
    let map = read("ARCHITECTURE.md");
    let missing = sources("cluster-rt/src")
        .into_iter()
        .chain(sources("cluster-macros/src"))
        .map(|s| s.path)
        .filter(|path| !path.ends_with("tests.rs"))
        .filter(|path| {
            let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
            let name = stem.rsplit('/').next().unwrap_or(stem);
            !map.contains(&format!("`{name}`"))
        })
        .collect::<Vec<_>>();
    assert_none("the code map of ARCHITECTURE.md names every module", &missing);
}
