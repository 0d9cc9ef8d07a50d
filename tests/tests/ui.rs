//! What the macros say to the user at compile time, and programs it must accept.
//!
//! A case in `ui/fail/<kind>/` is named by its mistake and pins the whole output, so that a caret
//! under the wrong token is a failure. That output is one compiler's: with another, those cases are
//! skipped, and said to be. The programs in `ui/pass/` are compiled and run with every compiler.
//!
//! * Accept new output after reading it: `TRYBUILD=overwrite cargo test -p cluster-tests --test ui`
//! * Run one case: `cargo test -p cluster-tests --test ui -- mistakes trybuild=missing_async`

use std::env;
use std::io::{self, Write};
use std::process::Command;

/// The compiler whose words the `.stderr` files hold.
const RUSTC_PINNED: &str = "rustc 1.95.";

#[test]
fn programs_are_accepted() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}

#[test]
fn mistakes_are_reported_under_their_tokens() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("rustc runs");
    let version = String::from_utf8_lossy(&version.stdout);
    if version.starts_with(RUSTC_PINNED) {
        trybuild::TestCases::new().compile_fail("tests/ui/fail/*/*.rs");
        return;
    }
    // Not `eprintln!`, which the test harness keeps to itself when a test passes.
    let skipped = format!(
        "\nSKIPPED: the cases in tests/ui/fail hold the output of {RUSTC_PINNED}x, this is {version}\n"
    );
    io::stderr().write_all(skipped.as_bytes()).expect("stderr is open");
}
