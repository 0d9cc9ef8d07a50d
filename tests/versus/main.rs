//! This project beside its peers: the same hello, the same clients, one run, a table of medians.
//!
//! ```text
//! cargo run --release -p cluster-tests --bin versus -- [--quick] [--out FOLDER] [--readme FILE] [NAME..]
//! cargo run --release -p cluster-tests --bin versus -- --again FOLDER [--readme FILE]
//! ```
//!
//! The peers take turns in several rounds, each time as new processes and in another order: what else the
//! machine does meanwhile meets all of them. With `NAME`s, only peers whose name contains one of them. Exits
//! with another code than 0 only if something did not work, never for a figure.

mod about;
mod broadcasts;
mod clients;
mod figures;
mod growth;
mod growth_table;
mod guard;
mod json;
mod measures;
mod outputs;
mod peers;
mod plot;
mod programs;
mod rounds;
mod server;
mod table;

use std::{io, path::PathBuf, time::Instant};

use self::{figures::Results, peers::Contestant, rounds::Extent};

fn main() -> io::Result<()> {
    let asked = Asked::from_args()?;
    let results = match &asked.again {
        Some(folder) => outputs::read(folder)?,
        None => measure(&asked),
    };
    print!("{}", table::written(&results));
    for folder in asked.again.iter().chain(&asked.out) {
        outputs::write(folder, &results)?;
    }
    if let Some(readme) = &asked.readme {
        outputs::insert(readme, &results)?;
    }
    Ok(())
}

fn measure(asked: &Asked) -> Results {
    let begun = Instant::now();
    let extent = if asked.quick { Extent::QUICK } else { Extent::FULL };
    guard::end_all_at_a_signal();
    programs::build();
    let (contestants, skipped) = peers::contestants(&asked.names);
    let about = about::now(&contestants, skipped, &extent);
    let mut results = Results { about, contestants: contestants.clone(), ..Results::default() };
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
    growth::measure(&extent, &mut results);
    results.about.loads[1] = about::load();
    results.about.seconds = begun.elapsed().as_secs_f64().round();
    results
}

/// What this program was called with.
#[derive(Debug, Default)]
struct Asked {
    quick: bool,
    out: Option<PathBuf>,
    again: Option<PathBuf>,
    readme: Option<PathBuf>,
    names: Vec<String>,
}

impl Asked {
    fn from_args() -> io::Result<Self> {
        let usage = "arguments: [--quick] [--out FOLDER] [--readme FILE] [NAME..], or --again FOLDER \
                     [--readme FILE]";
        let wrong = || io::Error::new(io::ErrorKind::InvalidInput, usage);
        let mut asked = Self::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut path = || arguments.next().map(PathBuf::from).ok_or_else(wrong);
            match argument.as_str() {
                "--quick" => asked.quick = true,
                "--out" => asked.out = Some(path()?),
                "--again" => asked.again = Some(path()?),
                "--readme" => asked.readme = Some(path()?),
                name if !name.starts_with('-') => asked.names.push(name.to_owned()),
                _ => return Err(wrong()),
            }
        }
        let measures = asked.quick || asked.out.is_some() || !asked.names.is_empty();
        if asked.again.is_some() && measures { Err(wrong()) } else { Ok(asked) }
    }
}
