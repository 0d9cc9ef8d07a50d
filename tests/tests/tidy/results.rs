//! The figures in README.md, the tables and the picture are those of one run of `versus`, and made of what it kept.

use std::{fs, process::Command};

use super::{read, root};

const FILES: [&str; 3] = ["results.md", "results.json", "results.svg"];

#[test]
fn readme_tables_and_picture_are_made_of_the_same_results() {
    let folder = std::env::temp_dir().join(format!("cluster-results-{}", std::process::id()));
    fs::create_dir(&folder).expect("a temporary directory");
    let kept = root().join("tests/versus/results.json");
    fs::copy(kept, folder.join("results.json")).expect("results are kept");
    let readme = folder.join("README.md");
    fs::write(&readme, read("README.md")).expect("room");
    let output = Command::new(env!("CARGO_BIN_EXE_versus"))
        .arg("--again")
        .arg(&folder)
        .arg("--readme")
        .arg(&readme)
        .output()
        .expect("versus starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let remedy =
        "cargo run -p cluster-tests --bin versus -- --again tests/versus --readme README.md";
    for (made, committed) in FILES
        .map(|file| (file, format!("tests/versus/{file}")))
        .into_iter()
        .chain([("README.md", "README.md".to_owned())])
    {
        let made = fs::read_to_string(folder.join(made)).expect("it was made");
        assert!(made == read(&committed), "{committed} is of another run: {remedy}");
    }
    fs::remove_dir_all(folder).expect("ours");
}
