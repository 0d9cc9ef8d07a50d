//! The results for programs: every single figure, with its unit in its name.

use serde_json::{Map, Value, json};

use crate::{
    figures::Results,
    measures::Measure,
    peers::{Contestant, OURS, PLAIN},
    rounds::Extent,
};

pub(crate) fn written(contestants: &[Contestant], results: &Results, extent: &Extent) -> String {
    let servers: Vec<Value> = contestants.iter().map(|one| server(one, results)).collect();
    let growth = results.growth.iter().map(|step| {
        json!({
            "name": step.contestant.peer.name(),
            "workers": step.contestant.workers,
            "start_to_ready_ms": step.start_ms.0,
            "pss_idle_mib": step.memory_mib,
            "idle_cpu_ms_per_second": step.idle_cpu,
            "cpu_us_per_connection": step.cpu_us,
            "connections_per_second": step.rate,
        })
    });
    let all = json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "rounds": extent.rounds,
        "servers": servers,
        "growth": growth.collect::<Vec<_>>(),
        "skipped": results.skipped,
    });
    format!("{all:#}\n")
}

fn server(contestant: &Contestant, results: &Results) -> Value {
    let mut measures = Map::new();
    for measure in Measure::ALL {
        if let Some(figures) = results.get(contestant, measure) {
            let value = json!({
                "median": figures.median(),
                "min": figures.least(),
                "max": figures.most(),
                "all": figures.0,
                "to_ours": results.ratio(contestant, &OURS, measure),
                "to_plain": results.ratio(contestant, &PLAIN, measure),
            });
            measures.insert(measure.key().to_owned(), value);
        }
    }
    json!({ "name": contestant.name(), "workers": contestant.workers, "measures": measures })
}
