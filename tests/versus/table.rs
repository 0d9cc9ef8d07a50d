//! The results as tables of Markdown, for a terminal and for README.md.

use std::fmt::Write;

use crate::{
    clients::{KEPT_CLIENTS, NEW_CLIENTS},
    figures::{About, Figures, Results},
    growth_table,
    measures::Measure,
    peers::{Contestant, OURS, PLAIN, Peer},
};

const NOTES: &str = "\
Memory is PSS. A kill is of the only worker, from the signal to a client's next answer. With kept connections all
clients have one address, so that a sticky schedule gives them to one worker, and gunicorn's sync workers keep none.
CPU is that of all processes of a server for one request, so that what clients use does not count.
Messages between processes, and forks: `cargo bench -p cluster-benches`.
";

/// A table: its measures, and the one whose ratios are told.
struct Section {
    title: String,
    measures: &'static [Measure],
    compared: Option<Measure>,
}

/// All tables.
pub(crate) fn written(results: &Results) -> String {
    let mut out = head(&results.about);
    let _ = write!(out, "\n### Medians\n\n{}", medians(results));
    for section in sections() {
        let _ = write!(out, "\n### {}\n\n{}", section.title, table(&section, results));
    }
    out += &growth_table::written(results);
    let _ = write!(out, "\n### What was aimed at\n\n{}\n{NOTES}", aims(results));
    let _ = writeln!(out, "\nMeasured in {:.0} s.", results.about.seconds);
    out
}

fn sections() -> [Section; 3] {
    [
        Section {
            title: format!("A new connection for each request, {NEW_CLIENTS} clients"),
            measures: &[
                Measure::NewRate,
                Measure::NewCpu,
                Measure::NewP50,
                Measure::NewP99,
                Measure::NewP999,
            ],
            compared: Some(Measure::NewCpu),
        },
        Section {
            title: format!("Connections kept alive, {KEPT_CLIENTS} clients"),
            measures: &[
                Measure::KeptRate,
                Measure::KeptCpu,
                Measure::KeptP50,
                Measure::KeptP99,
                Measure::KeptP999,
            ],
            compared: Some(Measure::KeptCpu),
        },
        Section {
            title: "Memory and life".to_owned(),
            measures: &[
                Measure::IdleMemory,
                Measure::LoadedMemory,
                Measure::WorkerMemory,
                Measure::Start,
                Measure::Kill,
            ],
            compared: None,
        },
    ]
}

fn head(about: &About) -> String {
    let About { machine, rounds, loads: [before, after], skipped, .. } = about;
    let mut out = format!(
        "# This project beside its peers\n\n{machine}. Each figure is the median of {rounds} rounds (least to most).\n"
    );
    if *before > 0.5 {
        let _ = writeln!(
            out,
            "The machine was not quiet: its load was {before} before and {after} after."
        );
    }
    for skipped in skipped {
        let _ = writeln!(out, "SKIPPED: {skipped}");
    }
    out
}

/// The most important figures, which README.md has too.
pub(crate) fn medians(results: &Results) -> String {
    let heads = [
        "",
        "new connection: CPU µs",
        "to tokio's",
        "kept connection: CPU µs",
        "to tokio's",
        "one worker: MiB",
        "SIGKILL to serving: ms",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for contestant in &results.contestants {
        let absent = || "–".to_owned();
        let median = |measure: Measure| {
            let figures = results.get(contestant, measure);
            figures.map_or_else(absent, |figures| measure.written(figures.median()))
        };
        let ratio = |measure| {
            let ratio = results.ratio(contestant, &PLAIN, measure);
            ratio.map_or_else(absent, |ratio| format!("{ratio:.2}"))
        };
        rows.push(vec![
            contestant.name(),
            median(Measure::NewCpu),
            ratio(Measure::NewCpu),
            median(Measure::KeptCpu),
            ratio(Measure::KeptCpu),
            median(Measure::WorkerMemory),
            median(Measure::Kill),
        ]);
    }
    aligned(&rows)
}

fn table(section: &Section, results: &Results) -> String {
    let mut heads = vec![String::new()];
    heads.extend(section.measures.iter().map(|measure| measure.title().to_owned()));
    if section.compared.is_some() {
        heads.extend(["CPU to ours".to_owned(), "CPU to tokio's".to_owned()]);
    }
    let mut rows = vec![heads];
    let has_any =
        |one: &&Contestant| section.measures.iter().any(|&m| results.get(one, m).is_some());
    for contestant in results.contestants.iter().filter(has_any) {
        let mut row = vec![contestant.name()];
        for &measure in section.measures {
            let figures = results.get(contestant, measure);
            row.push(figures.map_or("–".to_owned(), |figures| cell(measure, figures)));
        }
        for other in [OURS, PLAIN] {
            if let Some(measure) = section.compared {
                let ratio = results.ratio(contestant, &other, measure);
                row.push(ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")));
            }
        }
        rows.push(row);
    }
    aligned(&rows)
}

pub(crate) fn cell(measure: Measure, figures: &Figures) -> String {
    let [median, least, most] =
        [figures.median(), figures.least(), figures.most()].map(|value| measure.written(value));
    format!("{median} ({least}–{most})")
}

/// What this project has promised itself, and what it has come to.
fn aims(results: &Results) -> String {
    let alone = Contestant { workers: 1, ..OURS };
    let kernel = Contestant { peer: Peer::Cluster("kernel"), ..OURS };
    let of = |contestant, measure| results.get(contestant, measure).map(Figures::median);
    let four =
        results.growth.iter().find(|step| step.contestant == Contestant { workers: 4, ..OURS });
    let node = Contestant { peer: Peer::Node("rr"), ..OURS };
    let new = |contestant| results.ratio(contestant, &PLAIN, Measure::NewCpu);
    let to_node = results.ratio(&OURS, &node, Measure::NewCpu);
    let aims = [
        (
            "kept connections, one worker: CPU to tokio's",
            results.ratio(&alone, &PLAIN, Measure::KeptCpu),
            1.05,
        ),
        ("new connections, round-robin: CPU to tokio's", new(&OURS), 1.3),
        ("new connections, kernel: CPU to tokio's", new(&kernel), 1.05),
        ("new connections, round-robin: CPU to Node's", to_node, 0.33),
        ("SIGKILL to serving again, ms", of(&OURS, Measure::Kill), 3.0),
        ("a worker's own memory, MiB", of(&OURS, Measure::WorkerMemory), 1.5),
        ("four workers from exec to ready, ms", four.map(|step| step.start_ms.median()), 25.0),
    ];
    let mut rows = vec![["", "measured", "aim", ""].map(str::to_owned).to_vec()];
    for (what, measured, aim) in aims {
        let Some(measured) = measured else { continue };
        let verdict = if measured <= aim { "reached" } else { "missed" };
        rows.push(vec![what.into(), format!("{measured:.2}"), format!("{aim}"), verdict.into()]);
    }
    aligned(&rows)
}

/// A table whose columns a reader of plain text can follow. The first row is its head.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows[0].len();
    let length = |text: &String| text.chars().count();
    let width = |column: usize| rows.iter().map(|row| length(&row[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        for (column, (text, &width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(out, "| {text:width$} "),
                _ => write!(out, "| {text:>width$} "),
            };
        }
        out += "|\n";
        if at == 0 {
            for (column, &width) in widths.iter().enumerate() {
                let dashes = "-".repeat(width + 1);
                let _ = match column {
                    0 => write!(out, "|{dashes}-"),
                    _ => write!(out, "|{dashes}:"),
                };
            }
            out += "|\n";
        }
    }
    out
}
