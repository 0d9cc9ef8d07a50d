-- What wrk is to say at its end, in one line: requests, µs, latencies in µs, errors.
function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format("versus %d %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
