//! The results as a picture: for each measure a bar of each server. An SVG that follows the reader's theme.
//!
//! Has a ground of its own, since a page may have another theme than its reader's system. Leaves room for text by
//! `LETTER_WIDTH`, whatever font comes: nothing may run over.

use std::fmt::Write;

use crate::{
    clients::{KEPT_CLIENTS, NEW_CLIENTS},
    figures::{Figures, Results},
    measures::Measure,
    peers::{Contestant, PLAIN, Peer},
};

/// What is shown: less is better in each, so that short bars are good everywhere; and each is of what a machine
/// with other work distorts least.
struct Panel {
    title: &'static str,
    measure: Measure,
    /// Whether its numbers say what they are to plain tokio's.
    compared: bool,
}

const PANELS: [Panel; 4] = [
    Panel {
        title: "CPU for a request on a new connection, µs",
        measure: Measure::NewCpu,
        compared: true,
    },
    Panel {
        title: "CPU for a request on a kept connection, µs",
        measure: Measure::KeptCpu,
        compared: true,
    },
    Panel { title: "Memory of one worker, MiB", measure: Measure::WorkerMemory, compared: false },
    Panel {
        title: "From SIGKILL of the only worker to an answer, ms",
        measure: Measure::Kill,
        compared: false,
    },
];

const COLUMNS: usize = 2;
const MARGIN: f64 = 16.0;
const PANEL_WIDTH: f64 = 440.0;
/// For the longest of them.
const NAMES_WIDTH: f64 = 32.0 * LETTER_WIDTH;
/// For `1209.1 (18.41×)` behind the longest bar.
const NUMBERS_WIDTH: f64 = 15.0 * LETTER_WIDTH;
/// Between two panels.
const GAP: f64 = 20.0;
const BARS_WIDTH: f64 = PANEL_WIDTH - NAMES_WIDTH - NUMBERS_WIDTH - GAP;
const HEAD_HEIGHT: f64 = 58.0;
const TITLE_HEIGHT: f64 = 34.0;
const ROW_HEIGHT: f64 = 19.0;
/// Below the rows of a panel.
const PANEL_FOOT: f64 = 8.0;
const FOOT_HEIGHT: f64 = 52.0;
/// The mean of names and numbers at 12 px in a wide font.
const LETTER_WIDTH: f64 = 6.2;
/// The longest bar that is drawn in full, in medians of all: one server would leave the others no room.
const LONGEST: f64 = 3.0;

const STYLE: &str = "
.ground { fill: #ffffff; stroke: #d1d9e0; }
text { font: 12px system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.head { font-weight: 600; }
.small { fill: #59636e; }
.ours { fill: #0969da; }
.plain { fill: #1a7f37; }
.other { fill: #9aa4af; }
.range { stroke: #1f2328; stroke-width: 1.3; fill: none; }
.mark { stroke: #1a7f37; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117; stroke: #3d444d; }
  text { fill: #f0f6fc; }
  .small { fill: #9198a1; }
  .ours { fill: #4493f8; }
  .plain { fill: #3fb950; }
  .other { fill: #656c76; }
  .range { stroke: #f0f6fc; }
  .mark { stroke: #3fb950; }
}
";

pub(crate) fn drawn(results: &Results) -> String {
    let rows = results.contestants.len() as f64;
    let panel_height = TITLE_HEIGHT + rows * ROW_HEIGHT + PANEL_FOOT;
    let width = 2.0 * MARGIN + COLUMNS as f64 * PANEL_WIDTH;
    let down = PANELS.len().div_ceil(COLUMNS) as f64;
    let height = HEAD_HEIGHT + down * panel_height + FOOT_HEIGHT;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>What each server costs; a shorter bar is better</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n",
        width - 1.0,
        height - 1.0
    );
    text(
        &mut out,
        "title",
        MARGIN,
        28.0,
        "The same hello from each server: a shorter bar is better",
    );
    let rounds = results.about.rounds;
    // Cores and kernel; what stands behind a hyphen is the builder's.
    let machine = results.about.machine.split([';', '-']).next().unwrap_or_default();
    let about = format!(
        "{machine}. {NEW_CLIENTS} clients that connect anew, {KEPT_CLIENTS} that keep their connections. Medians of {rounds} \
         rounds, with the least and the most."
    );
    text(&mut out, "small", MARGIN, 47.0, &about);
    for (at, panel) in PANELS.iter().enumerate() {
        let x = MARGIN + (at % COLUMNS) as f64 * PANEL_WIDTH;
        let y = HEAD_HEIGHT + (at / COLUMNS) as f64 * panel_height;
        text(&mut out, "head", x, y + 22.0, panel.title);
        draw(&mut out, panel, results, (x, y + TITLE_HEIGHT));
    }
    let foot = [
        "Blue: this project. Green: one process of plain tokio, to whose CPU the ratios are (dashed line).",
        "A bar in two parts is longer than there is room. All figures: tests/versus/results.md",
    ];
    for (line, y) in foot.into_iter().zip([height - 30.0, height - 13.0]) {
        text(&mut out, "small", MARGIN, y, line);
    }
    out + "</svg>\n"
}

fn draw(out: &mut String, panel: &Panel, results: &Results, (x, y): (f64, f64)) {
    let figures = |contestant| results.get(contestant, panel.measure);
    let all = results.contestants.iter().filter_map(figures).map(Figures::median);
    let medians = Figures(all.collect());
    if medians.0.is_empty() {
        return text(out, "small", x, y + 13.0, "not measured");
    }
    let end = medians.most().min(LONGEST * medians.median());
    let bars = x + NAMES_WIDTH;
    let scaled = |value: f64| bars + (value / end).min(1.0) * BARS_WIDTH;
    if let Some(plain) = figures(&PLAIN).filter(|_| panel.compared) {
        let (at, below) =
            (scaled(plain.median()), y + results.contestants.len() as f64 * ROW_HEIGHT);
        let _ = writeln!(out, "<path class=\"mark\" d=\"M{at:.1} {y}V{below}\"/>");
    }
    for (row, contestant) in results.contestants.iter().enumerate() {
        let y = y + row as f64 * ROW_HEIGHT;
        text(out, "name", x, y + 13.0, &contestant.name());
        let Some(figures) = figures(contestant) else {
            text(out, "small", bars, y + 13.0, "no other worker follows");
            continue;
        };
        let median = figures.median();
        let mut after = scaled(median);
        if median > end {
            bar(out, contestant, (bars, y), after - bars - 14.0);
            bar(out, contestant, (after - 10.0, y), 10.0);
        } else {
            bar(out, contestant, (bars, y), (after - bars).max(1.0));
            let (from, to) = (scaled(figures.least()), scaled(figures.most()));
            let (top, middle, low) = (y + 5.0, y + 9.0, y + 13.0);
            // No wider than the line is thick: nothing to see.
            if to - from > 1.5 {
                let _ = writeln!(
                    out,
                    "<path class=\"range\" d=\"M{from:.1} {top}V{low}M{from:.1} {middle}H{to:.1}M{to:.1} {top}V{low}\"/>"
                );
            }
            after = to.max(after);
        }
        let ratio = results.ratio(contestant, &PLAIN, panel.measure).filter(|_| panel.compared);
        let ratio = ratio.map_or(String::new(), |ratio| format!(" ({ratio:.2}×)"));
        let number = format!("{}{ratio}", panel.measure.written(median));
        text(out, "number", after + 6.0, y + 13.0, &number);
    }
}

fn bar(out: &mut String, contestant: &Contestant, (x, y): (f64, f64), width: f64) {
    let class = match contestant.peer {
        Peer::Cluster(_) => "ours",
        _ if *contestant == PLAIN => "plain",
        _ => "other",
    };
    let y = y + 3.0;
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"12\" rx=\"1.5\"/>"
    );
}

/// One line.
fn text(out: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y}\">{escaped}</text>");
}
