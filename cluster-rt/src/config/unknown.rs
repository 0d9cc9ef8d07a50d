//! What is said of a `CLUSTER_` variable that is no option's.

use super::service::OF_SERVICES;

/// Those of the options that are of the whole cluster alone, without what they begin with.
const OF_CLUSTER: [&str; 7] = ["WORKERS", "STOP_DELAY", "SURPLUS", "USER", "GROUP", "PIN", "LOG"];

fn names() -> impl Iterator<Item = &'static str> {
    OF_CLUSTER.into_iter().chain(OF_SERVICES)
}

/// What is said of a variable that begins as ours do and is none.
pub(crate) fn unknown_variable(name: &str) -> String {
    let option = name.strip_prefix("CLUSTER_").unwrap_or(name);
    let near = |known: &str| {
        let edits = strsim::levenshtein(option, known);
        // As for an option of the attribute: two edits turn three letters into almost any other three.
        (edits <= 2 && edits * 2 < known.len()).then_some(edits)
    };
    let nearest = names().filter_map(|known| Some((near(known)?, known))).min();
    let meant =
        nearest.map_or_else(String::new, |(_, known)| format!(": is CLUSTER_{known} meant?"));
    format!("{name} is set and means nothing to this version{meant}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_is_near_is_offered() {
        let told =
            "CLUSTER_WROKERS is set and means nothing to this version: is CLUSTER_WORKERS meant?";
        assert_eq!(unknown_variable("CLUSTER_WROKERS"), told);
        let told = unknown_variable("CLUSTER_FLUX");
        assert!(told.ends_with("to this version"), "{told}");
    }

    #[test]
    fn every_name_that_is_offered_is_one() {
        for name in names() {
            let variable = format!("CLUSTER_{name}");
            let overrides = Config::default().override_from([(variable.as_str(), "?")].into_iter());
            assert_eq!(overrides.unknown, Vec::<String>::new());
        }
    }
}
