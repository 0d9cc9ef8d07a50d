//! Reads the text of one variable: a value, or the sentence that says what is allowed.
//!
//! What is allowed here is what the attribute allows at compile time.

use std::time::Duration;

use bytesize::ByteSize;

use crate::endpoint::{Peek, Schedule};

use super::{
    Backoff, DURATION_MAX, Flavor, HANG_TIMEOUT_MIN, LogLevel, Respawn, SURPLUS_MAX, WORKERS_MAX,
};

/// A value, or what is allowed.
type Read<T> = Result<T, &'static str>;

const A_DURATION: &str = "allowed: a duration such as 250ms, 25s or 1h30m";
const A_POSITIVE_DURATION: &str = "allowed: a duration above zero such as 250ms, 25s or 1h30m";
const A_COUNT: &str = "allowed: a whole number, 1 or more";

pub(super) fn workers(text: &str) -> Read<usize> {
    let allowed = "allowed: a whole number from 0 (no workers: main runs in this process) to 512";
    number(text).filter(|&n| n <= WORKERS_MAX).ok_or(allowed)
}

/// Of a service.
pub(super) fn some_workers(text: &str) -> Read<usize> {
    let allowed = "allowed: a whole number from 1 to 512";
    number(text).filter(|n| (1..=WORKERS_MAX).contains(n)).ok_or(allowed)
}

pub(super) fn respawn(text: &str) -> Read<Respawn> {
    match text {
        "always" => Ok(Respawn::Always),
        "on-failure" => Ok(Respawn::OnFailure),
        "never" => Ok(Respawn::Never),
        _ => Err("allowed: always, on-failure or never"),
    }
}

pub(super) fn schedule(text: &str) -> Read<Schedule> {
    match text {
        "round-robin" => Ok(Schedule::RoundRobin),
        "least-connections" => Ok(Schedule::LeastConnections),
        "sticky" => Ok(Schedule::Sticky),
        "shared" => Ok(Schedule::Shared),
        "kernel" => Ok(Schedule::Kernel),
        "by-host" => Ok(Schedule::ByKey(Peek::Host)),
        "by-server-name" => Ok(Schedule::ByKey(Peek::ServerName)),
        "by-proxy" => Ok(Schedule::ByKey(Peek::Proxy)),
        "by-line" => Ok(Schedule::ByKey(Peek::Line)),
        _ => Err(
            "allowed: round-robin, least-connections, sticky, shared, kernel, by-host, by-server-name, by-proxy or \
                by-line",
        ),
    }
}

pub(super) fn backoff(text: &str) -> Read<Backoff> {
    let allowed =
        "allowed: two durations such as 100ms..30s, the first above zero and not the longer";
    let (first, longest) = text.split_once("..").ok_or(allowed)?;
    let (first, longest) = (time(first.trim()), time(longest.trim()));
    let backoff = first.zip(longest).map(|(first, longest)| Backoff { first, longest });
    backoff.filter(|b| !b.first.is_zero() && b.first <= b.longest).ok_or(allowed)
}

pub(super) fn positive(text: &str) -> Read<usize> {
    number(text).filter(|&n| n > 0).ok_or(A_COUNT)
}

pub(super) fn give_up(text: &str) -> Read<u32> {
    positive(text).and_then(|n| u32::try_from(n).map_err(|_| A_COUNT))
}

pub(super) fn duration(text: &str) -> Read<Duration> {
    time(text).ok_or(A_DURATION)
}

pub(super) fn positive_duration(text: &str) -> Read<Duration> {
    time(text).filter(|d| !d.is_zero()).ok_or(A_POSITIVE_DURATION)
}

pub(super) fn hang_timeout(text: &str) -> Read<Option<Duration>> {
    let allowed = "allowed: a duration of at least 100ms such as 30s, or off";
    match time(text) {
        None if text == "off" => Ok(None),
        Some(Duration::ZERO) => Ok(None),
        Some(timeout) if timeout >= HANG_TIMEOUT_MIN => Ok(Some(timeout)),
        _ => Err(allowed),
    }
}

pub(super) fn recycle_connections(text: &str) -> Read<Option<u64>> {
    or_off(text, |text| text.parse().ok().filter(|&n| n > 0))
        .ok_or("allowed: a whole number, 1 or more, or off")
}

pub(super) fn recycle_age(text: &str) -> Read<Option<Duration>> {
    or_off(text, |text| time(text).filter(|d| !d.is_zero()))
        .ok_or("allowed: a duration above zero such as 1h or 1h30m, or off")
}

pub(super) fn recycle_rss(text: &str) -> Read<Option<u64>> {
    or_off(text, bytes)
        .ok_or("allowed: a number of bytes with its unit, such as 512MiB or 2GB, or off")
}

pub(super) fn recycle_jitter(text: &str) -> Read<f64> {
    let jitter = text.parse().ok().filter(|jitter| (0.0..=1.0).contains(jitter));
    jitter.ok_or("allowed: a number from 0.0 to 1.0")
}

pub(super) fn surplus(text: &str) -> Read<usize> {
    let surplus = number(text).filter(|n| (1..=SURPLUS_MAX).contains(n));
    surplus.ok_or("allowed: a whole number from 1 to 512")
}

/// The name of a user or group; an empty one takes away what the program says.
pub(super) fn name(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(super) fn flavor(text: &str) -> Read<Flavor> {
    match text {
        "current_thread" => Ok(Flavor::CurrentThread),
        "local" => Ok(Flavor::Local),
        "multi_thread" => Ok(Flavor::MultiThread),
        _ => Err("allowed: current_thread, local or multi_thread"),
    }
}

pub(super) fn on_or_off(text: &str) -> Read<bool> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("allowed: on or off"),
    }
}

pub(super) fn log_level(text: &str) -> Read<LogLevel> {
    match text {
        "off" => Ok(LogLevel::Off),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        _ => Err("allowed: off, warn or info"),
    }
}

/// A limit, or `off`, which removes the one that the program sets.
fn or_off<T>(text: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if text == "off" { Some(None) } else { read(text).map(Some) }
}

fn number(text: &str) -> Option<usize> {
    text.parse().ok()
}

fn time(text: &str) -> Option<Duration> {
    // Zero is the one number that needs no unit.
    if text == "0" {
        return Some(Duration::ZERO);
    }
    humantime::parse_duration(text).ok().filter(|&d| d <= DURATION_MAX)
}

fn bytes(text: &str) -> Option<u64> {
    // A number alone could be of any unit, and `M` is 1000 * 1000 to some and 1024 * 1024 to others.
    let has_unit = text.ends_with(['B', 'b']);
    let ByteSize(bytes) = text.parse().ok().filter(|_| has_unit)?;
    // Too large a number is read as the largest there is.
    (0 < bytes && bytes < u64::MAX).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_a_number_with_a_unit() {
        for (text, number) in [
            ("1B", 1),
            ("4KiB", 4096),
            ("512MiB", 512 << 20),
            ("2 GiB", 2 << 30),
            ("4KB", 4000),
            ("512MB", 512_000_000),
            ("2GB", 2_000_000_000),
            ("1.5GiB", 3 << 29),
        ] {
            assert_eq!(bytes(text), Some(number), "{text:?}");
        }
        for wrong in ["", "512", "512M", "MiB", "0MiB", "-1MiB", "512 MiBs", "99999999999999GB"] {
            assert_eq!(bytes(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_limit_can_be_switched_off() {
        assert_eq!(hang_timeout("off"), Ok(None));
        assert_eq!(hang_timeout("0"), Ok(None));
        assert_eq!(hang_timeout("100ms"), Ok(Some(HANG_TIMEOUT_MIN)));
        assert!(hang_timeout("99ms").is_err());
        assert_eq!(recycle_connections("off"), Ok(None));
        assert_eq!(recycle_age("off"), Ok(None));
        assert_eq!(recycle_rss("off"), Ok(None));
    }
}
