//! How long a file and a function may be.

use super::{all_sources, assert_none};

/// Above this a file has more than one responsibility; a table of tests may be longer.
const FILE_LINES_MAX: usize = 400;
const TEST_LINES_MAX: usize = 600;
/// More does not fit a screen.
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn files_have_one_responsibility() {
    let long = all_sources()
        .into_iter()
        .filter_map(|source| {
            let tests = source.path.starts_with("tests/") || source.path.ends_with("tests.rs");
            // The tests at the end of a file do not count: they are not read with it.
            let code = source.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let (lines, most) = match tests {
                true => (source.text.lines().count(), TEST_LINES_MAX),
                false => (code.lines().count(), FILE_LINES_MAX),
            };
            (lines > most).then(|| format!("{}: {lines} lines, at most {most}", source.path))
        })
        .collect::<Vec<_>>();
    assert_none("files are short", &long);
}

#[test]
fn functions_fit_a_screen() {
    let long = all_sources()
        .into_iter()
        .flat_map(|source| {
            long_functions(&source.text)
                .into_iter()
                .map(|(at, lines)| format!("{}:{at}: {lines} lines", source.path))
                .collect::<Vec<_>>()
        })
        .collect::<Vec<_>>();
    assert_none("functions have at most 70 lines", &long);
}

/// Where a function that is too long begins, and its length. Relies on the format: a function ends
/// with a brace in the column in which its first line begins.
fn long_functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let is_function = |line: &str| {
        let line = line.trim_start();
        let words = ["pub", "pub(crate)", "pub(super)", "async", "const", "extern", "unsafe"];
        let mut rest = line.split(' ').skip_while(|word| words.contains(word));
        // One that ends at once is a trait's, without a body.
        rest.next() == Some("fn") && !line.ends_with(';')
    };
    let mut long = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| is_function(line)) {
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        let length = lines[at..].iter().position(|line| *line == end).map_or(1, |to| to + 1);
        if length > FUNCTION_LINES_MAX {
            long.push((at + 1, length));
        }
    }
    long
}
