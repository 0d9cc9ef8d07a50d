//! Which lost requests the deaths of workers explain: each by the death of the very worker that had its
//! connection. A function of what clients and the cluster said.
//!
//! A worker's line tells how many connections were open when it ended. These are those that it has accepted and
//! not closed, by its count of receipts, and at most one more, which was just coming or going. A request is lost
//! rightly with one of these, and one without a receipt if it can be the one more of a worker that ended meanwhile.

use std::collections::BTreeMap;

use cluster_tests::{End, receipts::Receipt};

/// How long after a client has seen the end of a connection the worker's end is told at the latest: the master
/// may be stopped meanwhile, for less than a second, and the machine busy.
const TOLD_WITHIN: f64 = 5_000.0;

/// A request without an answer. Times are those of `monotonic_ms`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    /// When its connection was begun.
    pub(super) since: f64,
    /// When the client saw that it was over.
    pub(super) at: f64,
    /// By whom it was accepted, if by anybody.
    pub(super) receipt: Option<Receipt>,
}

/// The end of a worker by its line, and how many connections were open by its receipts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death {
    pub(super) end: End,
    pub(super) open: u64,
}

/// One line on all, and one on each thing that does not fit.
pub(super) fn judge(losses: &[Loss], deaths: &[Death]) -> (String, Vec<String>) {
    let mut offences = Vec::new();
    let mut of_workers = BTreeMap::<u64, u64>::new();
    let mut nobodys = Vec::new();
    for loss in losses {
        match loss.receipt {
            Some(Receipt { closed: true, .. }) => {
                offences.push(format!("the worker closed the connection: {loss:?}"));
            }
            Some(Receipt { worker, .. }) => *of_workers.entry(worker).or_default() += 1,
            None => nobodys.push(loss),
        }
    }
    for (worker, lost) in &of_workers {
        match deaths.iter().find(|death| death.end.worker == *worker) {
            // A receipt is left first and counted then, so that the one more may have one.
            Some(death) if *lost <= death.end.lost => {}
            death => offences.push(format!("{lost} lost by worker {worker}: {death:?}")),
        }
    }
    let told_rightly = |death: &&Death| (death.open..=death.open + 1).contains(&death.end.lost);
    let wrong = deaths.iter().filter(|death| !told_rightly(death));
    offences.extend(wrong.map(|death| format!("not as many as its receipts say: {death:?}")));
    let with_receipts = |death: &Death| of_workers.get(&death.end.worker).copied().unwrap_or(0);
    let one_more = deaths.iter().filter(|d| d.end.lost > d.open && with_receipts(d) <= d.open);
    let mut one_more: Vec<f64> = one_more.map(|death| death.end.told).collect();
    let all_nobodys = nobodys.len();
    explain(&mut nobodys, &mut one_more);
    offences.extend(nobodys.iter().map(|loss| format!("accepted by nobody: {loss:?}")));
    let summary = format!(
        "{} requests lost: {} with the {} workers that had them, {} on the way into one that ended",
        losses.len(),
        of_workers.values().sum::<u64>(),
        of_workers.len(),
        all_nobodys - nobodys.len()
    );
    (summary, offences)
}

/// Takes away what these deaths explain, one each. Of those that one can explain, the one whose time is over first
/// is taken, so that there is no better way to pair them.
fn explain(nobodys: &mut Vec<&Loss>, told: &mut [f64]) {
    nobodys.sort_by(|a, b| a.at.total_cmp(&b.at));
    told.sort_by(f64::total_cmp);
    for &mut told in told {
        let fits = |loss: &&Loss| loss.since <= told && told <= loss.at + TOLD_WITHIN;
        if let Some(at) = nobodys.iter().position(fits) {
            nobodys.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(worker: u64, closed: bool) -> Option<Receipt> {
        Some(Receipt { worker, closed })
    }

    fn death(worker: u64, lost: u64, open: u64) -> Death {
        Death { end: End { worker, lost, told: 210.0 }, open }
    }

    #[test]
    fn each_loss_is_its_own_workers() {
        let lost = |receipt| Loss { since: 100.0, at: 200.0, receipt };
        /// What was lost, which workers ended, and how many offences there are.
        type Case<'a> = (&'a [Option<Receipt>], &'a [Death], usize);
        let cases: [Case<'_>; 13] = [
            (&[of(1, false)], &[death(1, 1, 1)], 0),
            (&[of(1, false), of(1, false)], &[death(1, 2, 2)], 0),
            // Beyond what it had, whatever another had.
            (&[of(1, false), of(1, false)], &[death(1, 1, 1), death(2, 9, 9)], 1),
            (&[of(1, false)], &[death(1, 0, 0), death(2, 9, 9)], 1),
            (&[of(1, false)], &[death(2, 9, 9)], 1),
            (&[of(1, true)], &[death(1, 9, 9)], 1),
            // One was lost while its worker went on, or is told and was not.
            (&[], &[death(1, 1, 2)], 1),
            (&[], &[death(1, 3, 1)], 1),
            // The one more, which may have a receipt that is not counted.
            (&[of(1, false), of(1, false)], &[death(1, 2, 1)], 0),
            (&[None, of(1, false), of(1, false)], &[death(1, 2, 1)], 1),
            (&[None], &[death(1, 2, 1)], 0),
            (&[None, None], &[death(1, 2, 1)], 1),
            (&[None, of(1, false)], &[death(1, 1, 1)], 1),
        ];
        for (receipts, deaths, count) in cases {
            let losses: Vec<Loss> = receipts.iter().copied().map(lost).collect();
            let (_, offences) = judge(&losses, deaths);
            assert_eq!(offences.len(), count, "{receipts:?}, {deaths:?}: {offences:?}");
        }
    }

    #[test]
    fn a_loss_without_a_receipt_needs_a_death_of_its_time() {
        let lost = |since, at| Loss { since, at, receipt: None };
        let offences = |losses: &[Loss], told: &[f64]| {
            let death = |&told| Death { end: End { worker: 1, lost: 1, told }, open: 0 };
            judge(losses, &told.iter().map(death).collect::<Vec<_>>()).1.len()
        };
        assert_eq!(offences(&[lost(100.0, 200.0)], &[99.0]), 1);
        assert_eq!(offences(&[lost(100.0, 200.0)], &[150.0]), 0);
        assert_eq!(offences(&[lost(100.0, 200.0)], &[200.0 + TOLD_WITHIN + 1.0]), 1);
        // The first death is the only one for the shorter of them.
        let both = [lost(0.0, 9_000.0), lost(100.0, 200.0)];
        assert_eq!(offences(&both, &[150.0, 8_000.0]), 0);
        assert_eq!(offences(&both, &[150.0]), 1);
    }
}
