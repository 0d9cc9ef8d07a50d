//! What more workers cost, as tables of Markdown: the figures, and what they are to one worker's and to Node's.

use crate::{
    figures::Results,
    growth::Step,
    measures::Measure,
    peers::Peer,
    table::{aligned, cell},
};

const NONE: &str = "–";

/// Both tables; nothing, if nothing grew.
pub(crate) fn written(results: &Results) -> String {
    let mut out = String::new();
    if !results.growth.is_empty() {
        out += &format!("\n### With more workers\n\n{}", figures(results));
    }
    let ratios = ratios(results);
    if ratios.len() > 1 {
        let title = "With more workers, to one worker's and to Node's with as many";
        out += &format!("\n### {title}\n\n{}", aligned(&ratios));
    }
    out
}

fn figures(results: &Results) -> String {
    let heads = [
        "",
        "workers",
        "start to ready ms",
        "memory MiB",
        "idle CPU ms/s",
        "CPU µs/connection",
        "connections/s",
        "broadcast µs",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for step in &results.growth {
        let short = |value: Option<f64>| value.map_or(NONE.to_owned(), |v| format!("{v:.1}"));
        rows.push(vec![
            step.contestant.peer.name(),
            step.contestant.workers.to_string(),
            cell(Measure::Start, &step.start_ms),
            short(step.memory_mib),
            format!("{:.2}", step.idle_cpu),
            format!("{:.1}", step.cpu_us),
            format!("{:.0}", step.rate),
            short(step.broadcast_us),
        ]);
    }
    aligned(&rows)
}

/// A quantity of a step that has a ratio.
type Quantity = fn(&Step) -> Option<f64>;

const QUANTITIES: [(&str, Quantity); 4] = [
    ("start", |step| Some(step.start_ms.median())),
    ("memory", |step| step.memory_mib),
    ("CPU/connection", |step| Some(step.cpu_us)),
    ("broadcast", |step| step.broadcast_us),
];

/// The rows of the second table, its head first.
fn ratios(results: &Results) -> Vec<Vec<String>> {
    let mut heads = vec![String::new(), "workers".to_owned()];
    for (name, _) in QUANTITIES {
        heads.extend([format!("{name}: to one's"), "to Node's".to_owned()]);
    }
    let mut rows = vec![heads];
    let ours = |step: &&Step| matches!(step.contestant.peer, Peer::Cluster(_));
    for step in results.growth.iter().filter(ours) {
        let find = |peer: Peer, workers: usize| {
            let is_it = |s: &&Step| s.contestant.peer == peer && s.contestant.workers == workers;
            results.growth.iter().find(is_it)
        };
        let workers = step.contestant.workers;
        let others = [find(step.contestant.peer, 1), find(Peer::Node("rr"), workers)];
        let mut row = vec![step.contestant.peer.name(), workers.to_string()];
        for (_, quantity) in QUANTITIES {
            for other in others {
                let ratio = other.and_then(|other| Some(quantity(step)? / quantity(other)?));
                row.push(ratio.map_or(NONE.to_owned(), |ratio| format!("{ratio:.2}")));
            }
        }
        rows.push(row);
    }
    rows
}
