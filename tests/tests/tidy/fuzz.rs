//! Every fuzz target has a small corpus chosen by hand, and `cargo test` feeds it to the same function.

use std::{fs, path::Path};

use super::{assert_none, read, root, sources};

/// A corpus is read by people too.
const FILES_MAX: usize = 20;
const FILE_BYTES_MAX: u64 = 4096;

#[test]
fn every_fuzz_target_has_a_corpus_that_is_run() {
    let manifest = read("fuzz/Cargo.toml");
    let run = ["cluster-rt", "cluster-macros"].map(|at| read(&format!("{at}/src/fuzzing.rs")));
    let mut offences = Vec::new();
    for target in sources("fuzz/fuzz_targets") {
        let name = Path::new(&target.path).file_stem().expect("a name").to_string_lossy();
        if !manifest.contains(&format!("name = \"{name}\"")) {
            offences.push(format!("{}: fuzz/Cargo.toml does not have it", target.path));
        }
        let fed = [format!("feed(\"{name}\", {name})"), format!("fuzz/corpus/{name}\"")];
        if !run.iter().any(|text| fed.iter().any(|form| text.contains(form.as_str()))) {
            offences.push(format!("{}: no test in a `fuzzing.rs` feeds its corpus", target.path));
        }
        offences.extend(corpus_offences(&root().join("fuzz/corpus").join(name.as_ref())));
    }
    assert_none("every fuzz target has a corpus that cargo test runs", &offences);
}

#[test]
fn the_corpus_of_the_environment_has_every_option() {
    let mut missing = Vec::new();
    for (source, file, suffix) in [
        ("cluster-rt/src/config.rs", "every_option", ""),
        ("cluster-rt/src/config/service.rs", "every_option_of_a_service", "_WEB"),
    ] {
        let corpus = read(&format!("fuzz/corpus/environment/{file}"));
        // A name in upper case alone on its line, or before what reads its value.
        let names = read(source);
        let names = names.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once('"'));
        for (name, _) in names.filter(|(_, rest)| *rest == "," || rest.starts_with(" =>")) {
            let shouted = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            if shouted && !corpus.contains(&format!("CLUSTER_{name}{suffix}=")) {
                missing.push(format!("{file}: {name}"));
            }
        }
    }
    assert_none("the corpus of the environment names every option", &missing);
}

/// Which is built by a compiler of its own, not by `cargo test`.
#[test]
fn the_fuzz_target_of_the_macros_includes_all_their_files() {
    let target = read("fuzz/fuzz_targets/macros.rs");
    let modules = read("cluster-macros/src/lib.rs");
    let modules = modules.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let missing: Vec<String> = modules
        .filter(|module| !target.lines().any(|line| line == format!("mod {module};")))
        .map(str::to_owned)
        .collect();
    assert_none("fuzz/fuzz_targets/macros.rs includes every file of cluster-macros", &missing);
}

fn corpus_offences(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return vec![format!("{}: is not there", folder.display())];
    };
    let mut offences = Vec::new();
    let mut count = 0;
    for entry in entries.map(|entry| entry.expect("an entry")) {
        let name = entry.file_name().to_string_lossy().into_owned();
        // What cargo-fuzz has found here; git ignores it.
        if name.len() == 40 {
            continue;
        }
        count += 1;
        let bytes = entry.metadata().expect("a file").len();
        if bytes > FILE_BYTES_MAX {
            offences.push(format!("{}: {bytes} bytes", entry.path().display()));
        }
        if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            offences.push(format!("{}: named for what it is, in words", entry.path().display()));
        }
    }
    if !(1..=FILES_MAX).contains(&count) {
        offences.push(format!("{}: {count} files, 1 to {FILES_MAX}", folder.display()));
    }
    offences
}
