//! The results for programs, and for `--again`: every single figure, with its unit in its name.

use std::{collections::BTreeMap, fmt::Write, io};

use serde_json::{Value, json};

use crate::{
    figures::{About, Figures, Results, rounded},
    growth::Step,
    measures::Measure,
    peers::{self, Contestant, OURS, PLAIN, Peer},
};

/// One line for each measure of each server, so that a difference between two runs can be read.
pub(crate) fn written(results: &Results) -> String {
    let About { machine, rounds, loads, skipped, seconds } = &results.about;
    let about = json!({
        "machine": machine,
        "rounds": rounds,
        "load_before": loads[0],
        "load_after": loads[1],
        "skipped": skipped,
        "seconds": seconds,
    });
    let servers: Vec<String> = results.contestants.iter().map(|one| server(one, results)).collect();
    let steps: Vec<String> = results.growth.iter().map(|step| growth(step).to_string()).collect();
    format!(
        "{{\n\"about\": {about},\n\"servers\": [\n{}\n],\n\"growth\": [\n{}\n]\n}}\n",
        servers.join(",\n"),
        steps.join(",\n")
    )
}

fn server(contestant: &Contestant, results: &Results) -> String {
    let name = Value::from(contestant.name());
    let mut out =
        format!("{{\"name\": {name}, \"workers\": {}, \"measures\": {{", contestant.workers);
    let mut comma = "";
    for measure in Measure::ALL {
        let Some(figures) = results.get(contestant, measure) else { continue };
        let value = json!({
            "median": rounded(figures.median()),
            "min": rounded(figures.least()),
            "max": rounded(figures.most()),
            "all": figures.0,
            "to_ours": results.ratio(contestant, &OURS, measure).map(rounded),
            "to_plain": results.ratio(contestant, &PLAIN, measure).map(rounded),
        });
        let _ = write!(out, "{comma}\n  \"{}\": {value}", measure.key());
        comma = ",";
    }
    out + "\n}}"
}

fn growth(step: &Step) -> Value {
    json!({
        "name": step.contestant.peer.name(),
        "workers": step.contestant.workers,
        "start_to_ready_ms": step.start_ms.0,
        "pss_idle_mib": step.memory_mib,
        "idle_cpu_ms_per_second": step.idle_cpu,
        "cpu_us_per_connection": step.cpu_us,
        "connections_per_second": step.rate,
        "broadcast_us": step.broadcast_us,
    })
}

/// What `written` wrote.
///
/// # Errors
/// It is something else, or about servers that are not known here.
pub(crate) fn read(text: &str) -> io::Result<Results> {
    let all: Value = serde_json::from_str(text)?;
    results(&all).ok_or_else(|| io::Error::other("these are no results of this version"))
}

fn results(all: &Value) -> Option<Results> {
    let about = &all["about"];
    let skipped = about["skipped"].as_array()?.iter().map(|text| text.as_str().map(str::to_owned));
    let about = About {
        machine: about["machine"].as_str()?.to_owned(),
        rounds: usize::try_from(about["rounds"].as_u64()?).ok()?,
        loads: [about["load_before"].as_f64()?, about["load_after"].as_f64()?],
        skipped: skipped.collect::<Option<_>>()?,
        seconds: about["seconds"].as_f64()?,
    };
    let (mut contestants, mut figures) = (Vec::new(), BTreeMap::new());
    for server in all["servers"].as_array()? {
        let contestant = peers::named(server["name"].as_str()?)?;
        for measure in Measure::ALL {
            let measured = &server["measures"][measure.key()]["all"];
            if !measured.is_null() {
                figures.insert((contestant.name(), measure), numbers(measured)?);
            }
        }
        contestants.push(contestant);
    }
    let growth = all["growth"].as_array()?.iter().map(step).collect::<Option<_>>()?;
    Some(Results { about, contestants, figures, growth })
}

fn step(step: &Value) -> Option<Step> {
    let peer = Peer::named(step["name"].as_str()?)?;
    let workers = usize::try_from(step["workers"].as_u64()?).ok()?;
    Some(Step {
        contestant: Contestant { peer, workers },
        start_ms: numbers(&step["start_to_ready_ms"])?,
        memory_mib: step["pss_idle_mib"].as_f64(),
        idle_cpu: step["idle_cpu_ms_per_second"].as_f64()?,
        cpu_us: step["cpu_us_per_connection"].as_f64()?,
        rate: step["connections_per_second"].as_f64()?,
        broadcast_us: step["broadcast_us"].as_f64(),
    })
}

fn numbers(all: &Value) -> Option<Figures> {
    let all = all.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>()?;
    (!all.is_empty()).then_some(Figures(all))
}
