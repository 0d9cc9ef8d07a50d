//! The table at the end: a median for each row and peer, and what a cluster's is beside the others'.

use std::{collections::BTreeMap, fmt::Write};

use cluster_benches::Scene;

use crate::peer::Kind;

/// Seconds for one iteration, as they were measured: a list for each round.
#[derive(Debug)]
struct Line {
    title: &'static str,
    scene: Scene,
    rounds: BTreeMap<Kind, Vec<Vec<f64>>>,
}

#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Line>);

impl Table {
    pub(crate) fn add(&mut self, title: &'static str, scene: Scene, kind: Kind, measured: &[f64]) {
        if measured.is_empty() {
            return;
        }
        let at = self.0.iter().position(|line| line.title == title).unwrap_or_else(|| {
            self.0.push(Line { title, scene, rounds: BTreeMap::new() });
            self.0.len() - 1
        });
        self.0[at].rounds.entry(kind).or_default().push(measured.to_vec());
    }

    pub(crate) fn print(&self) {
        let absent = || "-".to_owned();
        let kinds = [Kind::Cluster, Kind::BareTokio, Kind::Node];
        let mut out = format!("\n{:36}", "medians");
        for kind in kinds {
            let _ = write!(out, "{:>12}", kind.name());
        }
        let _ = writeln!(out, "{:>24}{:>24}", "speed to Node's", "time to bare tokio's");
        for line in &self.0 {
            let _ = write!(out, "{:36}", line.title);
            for kind in kinds {
                let value = line.median(kind).map(|seconds| line.written(seconds));
                let _ = write!(out, "{:>12}", value.unwrap_or_else(absent));
            }
            let speed = line.ratio(Kind::Node, Kind::Cluster).unwrap_or_else(absent);
            let time = line.ratio(Kind::Cluster, Kind::BareTokio).unwrap_or_else(absent);
            let _ = writeln!(out, "{speed:>24}{time:>24}");
        }
        out += "ratios: the median of the rounds, and their range";
        println!("{out}");
    }
}

impl Line {
    fn median(&self, kind: Kind) -> Option<f64> {
        Some(median(self.rounds.get(&kind)?.concat()))
    }

    /// A stream is told by how much goes through in a second, a round trip or a fork by its duration.
    fn written(&self, seconds: f64) -> String {
        match self.scene {
            Scene::RoundTrip | Scene::Fork => format!("{:.1} µs", seconds * 1e6),
            Scene::Broadcast => format!("{:.0}/s", 1.0 / seconds),
        }
    }

    /// How much longer `a` takes than `b`: of each round apart, since what else the machine did then it
    /// did to both.
    fn ratio(&self, a: Kind, b: Kind) -> Option<String> {
        let (a, b) = (self.rounds.get(&a)?, self.rounds.get(&b)?);
        let each = a.iter().zip(b).map(|(a, b)| median(a.clone()) / median(b.clone()));
        let mut ratios: Vec<f64> = each.collect();
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios.first()?, ratios.last()?);
        let middle = median(ratios.clone());
        Some(format!("{middle:.2} ({least:.2} to {most:.2})"))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}
