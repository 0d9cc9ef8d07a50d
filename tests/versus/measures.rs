//! What is measured of each server: names, units, and which way is better.

/// A row of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    /// With a new connection for each request: requests a second, CPU for each, latencies.
    NewRate,
    NewCpu,
    NewP50,
    NewP99,
    NewP999,
    /// With connections that are kept.
    KeptRate,
    KeptCpu,
    KeptP50,
    KeptP99,
    KeptP999,
    /// Of all processes, before any request, and while requests come.
    IdleMemory,
    LoadedMemory,
    /// Of one worker, before any request.
    WorkerMemory,
    /// From exec to all workers ready.
    Start,
    /// From SIGKILL of the only worker to an answer.
    Kill,
}

impl Measure {
    pub(crate) const ALL: [Self; 15] = [
        Self::NewRate,
        Self::NewCpu,
        Self::NewP50,
        Self::NewP99,
        Self::NewP999,
        Self::KeptRate,
        Self::KeptCpu,
        Self::KeptP50,
        Self::KeptP99,
        Self::KeptP999,
        Self::IdleMemory,
        Self::LoadedMemory,
        Self::WorkerMemory,
        Self::Start,
        Self::Kill,
    ];

    /// For programs that read the results.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::NewRate => "new_connections_requests_per_second",
            Self::NewCpu => "new_connections_cpu_us_per_request",
            Self::NewP50 => "new_connections_p50_us",
            Self::NewP99 => "new_connections_p99_us",
            Self::NewP999 => "new_connections_p99_9_us",
            Self::KeptRate => "keep_alive_requests_per_second",
            Self::KeptCpu => "keep_alive_cpu_us_per_request",
            Self::KeptP50 => "keep_alive_p50_us",
            Self::KeptP99 => "keep_alive_p99_us",
            Self::KeptP999 => "keep_alive_p99_9_us",
            Self::IdleMemory => "pss_idle_mib",
            Self::LoadedMemory => "pss_loaded_mib",
            Self::WorkerMemory => "pss_of_a_worker_mib",
            Self::Start => "start_to_ready_ms",
            Self::Kill => "sigkill_to_serving_ms",
        }
    }

    /// At the head of a column.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::NewRate | Self::KeptRate => "requests/s",
            Self::NewCpu | Self::KeptCpu => "CPU µs/request",
            Self::NewP50 | Self::KeptP50 => "p50 ms",
            Self::NewP99 | Self::KeptP99 => "p99 ms",
            Self::NewP999 | Self::KeptP999 => "p99.9 ms",
            Self::IdleMemory => "memory idle MiB",
            Self::LoadedMemory => "loaded",
            Self::WorkerMemory => "one worker",
            Self::Start => "start to ready ms",
            Self::Kill => "SIGKILL to serving ms",
        }
    }

    /// A value as the table shows it.
    pub(crate) fn written(self, value: f64) -> String {
        match self {
            Self::NewRate | Self::KeptRate => format!("{value:.0}"),
            Self::NewP50 | Self::NewP99 | Self::NewP999 => format!("{:.1}", value / 1e3),
            Self::KeptP50 | Self::KeptP99 | Self::KeptP999 => format!("{:.2}", value / 1e3),
            Self::NewCpu | Self::KeptCpu => format!("{value:.1}"),
            Self::WorkerMemory => format!("{value:.2}"),
            _ => format!("{value:.1}"),
        }
    }
}
