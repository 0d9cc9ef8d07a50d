//! This project beside its peers: the same hello, the same clients, one run, a table of medians.
//!
//! ```text
//! cargo run --release -p cluster-tests --bin versus -- [--quick] [--json FILE] [--svg FILE] [NAME..]
//! ```
//!
//! The peers take turns in several rounds, each time as new processes and in another order: what else the
//! machine does meanwhile meets all of them. With `NAME`s, only peers whose name contains one of them. Exits
//! with another code than 0 only if something did not work, never for a figure.

mod clients;
mod figures;
mod growth;
mod guard;
mod json;
mod measures;
mod peers;
mod plot;
mod programs;
mod rounds;
mod server;
mod table;

use std::{path::PathBuf, time::Instant};

use self::{figures::Results, peers::Contestant, rounds::Extent};

fn main() -> std::io::Result<()> {
    let begun = Instant::now();
    let asked = Asked::from_args()?;
    let extent = if asked.quick { Extent::QUICK } else { Extent::FULL };
    guard::end_all_at_a_signal();
    programs::build();
    let (contestants, skipped) = peers::contestants(&asked.names);
    let mut results = Results::default();
    results.skipped = skipped;
    results.loads[0] = load();
    for round in 0..extent.rounds {
        // Another one is first in each round, and the direction changes: no peer always follows the same.
        let mut order: Vec<&Contestant> = contestants.iter().collect();
        let first = round * order.len() / extent.rounds;
        order.rotate_left(first);
        if round % 2 == 1 {
            order.reverse();
        }
        for contestant in order {
            eprintln!("round {} of {}: {}", round + 1, extent.rounds, contestant.name());
            rounds::measure(contestant, &extent, &mut results);
        }
    }
    growth::measure(&contestants, &extent, &mut results);
    results.loads[1] = load();
    print!("{}", table::written(&contestants, &results, &extent));
    if let Some(path) = asked.json {
        std::fs::write(path, json::written(&contestants, &results, &extent))?;
    }
    if let Some(path) = asked.svg {
        std::fs::write(path, plot::drawn(&contestants, &results))?;
    }
    println!("\nMeasured in {:.0} s.", begun.elapsed().as_secs_f64());
    Ok(())
}

/// The load average of the last minute.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// What this program was called with.
#[derive(Debug, Default)]
struct Asked {
    quick: bool,
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
    names: Vec<String>,
}

impl Asked {
    fn from_args() -> std::io::Result<Self> {
        let usage = "arguments: [--quick] [--json FILE] [--svg FILE] [NAME..]";
        let wrong = || std::io::Error::new(std::io::ErrorKind::InvalidInput, usage);
        let mut asked = Self::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut file = || arguments.next().map(PathBuf::from).ok_or_else(wrong);
            match argument.as_str() {
                "--quick" => asked.quick = true,
                "--json" => asked.json = Some(file()?),
                "--svg" => asked.svg = Some(file()?),
                name if !name.starts_with('-') => asked.names.push(name.to_owned()),
                _ => return Err(wrong()),
            }
        }
        Ok(asked)
    }
}
