//! `Stats` in the text format that Prometheus and its like scrape.
//!
//! The names are part of the public face: one that is there stays what it is.

use std::fmt::{self, Write};

use super::{SlotStats, Stats};
use crate::event::WorkerState;

/// One family of metrics about slots: its name, its kind, what it says, and a slot's value, if it has one.
type Family = (&'static str, &'static str, &'static str, fn(&SlotStats) -> Option<f64>);

const OF_SLOTS: [Family; 11] = [
    ("cluster_worker_ready", "gauge", "Whether the slot has a worker that serves.", |slot| {
        Some(f64::from(u8::from(slot.state == Some(WorkerState::Ready))))
    }),
    ("cluster_connections_received_total", "counter", "Connections received.", |slot| {
        Some(slot.received as f64)
    }),
    ("cluster_connections_active", "gauge", "Connections open now.", |slot| {
        Some(slot.active as f64)
    }),
    ("cluster_connections_served_total", "counter", "Connections closed in order.", |slot| {
        Some(slot.served as f64)
    }),
    (
        "cluster_connections_lost_total",
        "counter",
        "Connections that were open in a worker when it ended.",
        |slot| Some(slot.lost as f64),
    ),
    (
        "cluster_connections_waiting",
        "gauge",
        "Connections that wait in the slot's queues.",
        |slot| Some(slot.waiting as f64),
    ),
    (
        "cluster_worker_respawns_total",
        "counter",
        "Workers spawned because another had ended.",
        |slot| Some(slot.respawns as f64),
    ),
    (
        "cluster_messages_unread_total",
        "counter",
        "Messages that the slot's workers could not read.",
        |slot| Some(slot.unread as f64),
    ),
    (
        "cluster_worker_heartbeat_age_seconds",
        "gauge",
        "How long ago the worker gave a sign of life.",
        |slot| slot.heartbeat_age.map(|age| age.as_secs_f64()),
    ),
    (
        "cluster_worker_resident_bytes",
        "gauge",
        "Resident memory of the worker, shared pages included.",
        |slot| slot.rss.map(|bytes| bytes as f64),
    ),
    (
        "cluster_worker_proportional_bytes",
        "gauge",
        "Resident memory of the worker, a page that n processes share counting 1/n.",
        |slot| slot.pss.map(|bytes| bytes as f64),
    ),
];

pub(super) fn write(stats: &Stats, out: &mut impl Write) -> fmt::Result {
    let Stats { generation, departed, unread, slots } = stats;
    for (name, kind, help, value) in [
        ("cluster_generation", "gauge", "The generation of code.", u64::from(*generation)),
        (
            "cluster_workers_departed",
            "gauge",
            "Workers that were replaced and still finish what they have.",
            *departed as u64,
        ),
        (
            "cluster_master_messages_unread_total",
            "counter",
            "Messages that the master could not read.",
            *unread,
        ),
    ] {
        head(out, name, kind, help)?;
        writeln!(out, "{name} {value}")?;
    }
    for (name, kind, help, value) in OF_SLOTS {
        let mut samples = slots.iter().filter_map(|slot| Some((slot, value(slot)?))).peekable();
        if samples.peek().is_some() {
            head(out, name, kind, help)?;
        }
        for (slot, value) in samples {
            write!(out, "{name}{{")?;
            // A name that is an identifier, in which nothing is to be escaped.
            if let Some(service) = slot.service {
                write!(out, "service=\"{service}\",")?;
            }
            writeln!(out, "slot=\"{}\"}} {value}", slot.slot)?;
        }
    }
    Ok(())
}

fn head(out: &mut impl Write, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn slot(slot: usize, service: Option<&'static str>) -> SlotStats {
        SlotStats {
            slot,
            service,
            worker: None,
            pid: None,
            generation: None,
            state: Some(WorkerState::Ready),
            received: 12,
            active: 2,
            served: 9,
            lost: 1,
            waiting: 0,
            unread: 0,
            respawns: 3,
            last_exit: None,
            heartbeat_age: (slot == 1).then_some(Duration::from_millis(250)),
            rss: None,
            pss: None,
        }
    }

    #[test]
    fn every_slot_has_its_line_and_what_nobody_has_is_left_out() {
        let slots = vec![slot(0, None), slot(1, Some("web"))];
        let text = Stats { generation: 2, departed: 1, unread: 0, slots }.to_prometheus();
        for line in [
            "cluster_generation 2",
            "cluster_workers_departed 1",
            "# TYPE cluster_connections_received_total counter",
            "cluster_connections_received_total{slot=\"0\"} 12",
            "cluster_connections_received_total{service=\"web\",slot=\"1\"} 12",
            "cluster_worker_ready{slot=\"0\"} 1",
            "cluster_worker_heartbeat_age_seconds{service=\"web\",slot=\"1\"} 0.25",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}: {text}");
        }
        assert!(!text.contains("resident"), "{text}");
        assert!(!text.contains("heartbeat_age_seconds{slot=\"0\"}"), "{text}");
        assert!(text.ends_with('\n'));
    }
}
