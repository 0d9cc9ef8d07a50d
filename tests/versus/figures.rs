//! What was measured, by server and measure, and what is computed of it: medians, ranges, ratios.

use std::collections::BTreeMap;

use crate::{growth::Step, measures::Measure, peers::Contestant};

/// All that a run has found.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) about: About,
    /// In the order of tables.
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) figures: BTreeMap<(String, Measure), Figures>,
    pub(crate) growth: Vec<Step>,
}

/// Without which no figure means anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct About {
    /// Cores, kernel, and the versions of the others.
    pub(crate) machine: String,
    pub(crate) rounds: usize,
    /// The load average before the first server started and after the last one; only the first is all others'.
    pub(crate) loads: [f64; 2],
    /// A sentence on each peer that is not there.
    pub(crate) skipped: Vec<String>,
    /// How long all took.
    pub(crate) seconds: f64,
}

impl Results {
    pub(crate) fn add(&mut self, contestant: &Contestant, measure: Measure, value: f64) {
        self.figures.entry((contestant.name(), measure)).or_default().add(value);
    }

    pub(crate) fn get(&self, contestant: &Contestant, measure: Measure) -> Option<&Figures> {
        self.figures.get(&(contestant.name(), measure))
    }

    /// How many times as much one has as another: the median of the rounds, in each of which
    /// both met much the same machine.
    pub(crate) fn ratio(&self, a: &Contestant, b: &Contestant, measure: Measure) -> Option<f64> {
        let (a, b) = (self.get(a, measure)?, self.get(b, measure)?);
        if a.0.len() != b.0.len() {
            return Some(a.median() / b.median());
        }
        Some(Figures(a.0.iter().zip(&b.0).map(|(a, b)| a / b).collect()).median())
    }
}

/// The same thing measured several times, at least once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(pub(crate) Vec<f64>);

/// More digits than were measured say nothing, and what is kept is to be what is shown.
pub(crate) fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

impl Figures {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(rounded(value));
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    pub(crate) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() % 2 {
            0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
            _ => sorted[middle],
        }
    }

    pub(crate) fn least(&self) -> f64 {
        self.sorted()[0]
    }

    pub(crate) fn most(&self) -> f64 {
        *self.sorted().last().expect("at least one")
    }
}
