//! Where results are kept: three files of a folder, and a block of README.md.
//!
//! Only `results.json` is read again; the others are made of it.

use std::{fs, io, path::Path};

use crate::{figures::Results, json, plot, table};

/// Between these lines README.md has the medians; a tidy test compares them with `results.md`.
const BEGIN: &str = "<!-- medians of tests/versus/results.md -->";
const END: &str = "<!-- end of medians -->";

/// Writes `results.md`, `results.json` and `results.svg`.
///
/// # Errors
/// Those of the files.
pub(crate) fn write(folder: &Path, results: &Results) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("results.md"), table::written(results))?;
    fs::write(folder.join("results.json"), json::written(results))?;
    fs::write(folder.join("results.svg"), plot::drawn(results))
}

/// The results that were written into a folder.
///
/// # Errors
/// Those of `results.json`.
pub(crate) fn read(folder: &Path) -> io::Result<Results> {
    json::read(&fs::read_to_string(folder.join("results.json"))?)
}

/// Puts the medians into their block of a file.
///
/// # Errors
/// Those of the file; that it has no such block.
pub(crate) fn insert(file: &Path, results: &Results) -> io::Result<()> {
    let text = fs::read_to_string(file)?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) =
        parts.ok_or_else(|| io::Error::other(format!("{}: no {BEGIN}", file.display())))?;
    let medians = table::medians(results);
    fs::write(file, format!("{before}{BEGIN}\n\n{medians}\n{END}{after}"))
}
