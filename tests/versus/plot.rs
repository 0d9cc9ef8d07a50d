//! The results as a picture: bars by server, a panel for each measure. An SVG that follows the reader's theme.

use std::fmt::Write;

use crate::{
    figures::{Figures, Results},
    measures::Measure,
    peers::{Contestant, Peer},
};

/// In each panel less is better, so that short bars are good everywhere; and each is of what a machine with
/// other work distorts least.
const PANELS: [(Measure, &str); 4] = [
    (Measure::NewCpu, "CPU µs, new connection"),
    (Measure::KeptCpu, "CPU µs, kept connections"),
    (Measure::WorkerMemory, "memory of a worker, MiB"),
    (Measure::LoadedMemory, "memory of all, busy, MiB"),
];

const NAMES_WIDTH: usize = 210;
const PANEL_WIDTH: usize = 195;
/// What a number beside the longest bar takes, and the gap to the next panel.
const NUMBER_WIDTH: usize = 62;
/// The longest bar that is drawn in full, in medians of all: one server would leave the others no room.
const LONGEST: f64 = 3.0;
const ROW_HEIGHT: usize = 22;
const HEAD_HEIGHT: usize = 34;

const STYLE: &str = "
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.head { font-weight: 600; }
.ours { fill: #0969da; }
.other { fill: #8c959f; }
.range { stroke: #1f2328; stroke-opacity: .55; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .ours { fill: #4493f8; }
  .other { fill: #6e7681; }
  .range { stroke: #e6edf3; }
}
";

pub(crate) fn drawn(contestants: &[Contestant], results: &Results) -> String {
    let width = NAMES_WIDTH + PANELS.len() * PANEL_WIDTH;
    let height = HEAD_HEIGHT + contestants.len() * ROW_HEIGHT + 8;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"Costs of each server; less is better\">\n<style>{STYLE}</style>\n"
    );
    out += "<text class=\"head\" x=\"0\" y=\"20\">less is better</text>\n";
    for (row, contestant) in contestants.iter().enumerate() {
        let y = HEAD_HEIGHT + row * ROW_HEIGHT + 15;
        let _ = writeln!(out, "<text x=\"0\" y=\"{y}\">{}</text>", contestant.name());
    }
    for (at, (measure, title)) in PANELS.into_iter().enumerate() {
        let x = NAMES_WIDTH + at * PANEL_WIDTH;
        let _ = writeln!(out, "<text class=\"head\" x=\"{x}\" y=\"20\">{title}</text>");
        panel(&mut out, x, measure, contestants, results);
    }
    out + "</svg>\n"
}

fn panel(
    out: &mut String,
    x: usize,
    measure: Measure,
    contestants: &[Contestant],
    results: &Results,
) {
    let figures = |contestant| results.get(contestant, measure);
    let medians = contestants.iter().filter_map(figures).map(Figures::median).collect::<Vec<_>>();
    if medians.is_empty() {
        return;
    }
    let most = medians.iter().copied().fold(0.0, f64::max);
    let end = most.min(LONGEST * Figures(medians).median());
    let scaled = |value: f64| (value / end).min(1.0) * (PANEL_WIDTH - NUMBER_WIDTH) as f64;
    for (row, contestant) in contestants.iter().enumerate() {
        let Some(figures) = figures(contestant) else { continue };
        let class = if matches!(contestant.peer, Peer::Cluster(_)) { "ours" } else { "other" };
        let y = HEAD_HEIGHT + row * ROW_HEIGHT;
        let median = figures.median();
        let width = scaled(median).max(1.0);
        let mut bar = |x: f64, width: f64| {
            let top = y + 4;
            let _ = writeln!(
                out,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"14\"/>"
            );
        };
        let x = x as f64;
        let mut last = x + width;
        if median > end {
            // Interrupted: it is longer than there is room.
            bar(x, width - 16.0);
            bar(x + width - 12.0, 12.0);
        } else {
            bar(x, width);
            let [from, to] = [figures.least(), figures.most()].map(|end| x + scaled(end));
            let middle = y + 11;
            let _ = writeln!(out, "<path class=\"range\" d=\"M{from:.1} {middle}H{to:.1}\"/>");
            last = to.max(last);
        }
        let (at, base, number) = (last + 5.0, y + 15, measure.written(median));
        let _ = writeln!(out, "<text x=\"{at:.1}\" y=\"{base}\">{number}</text>");
    }
}
