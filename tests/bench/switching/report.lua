-- wrk's own numbers, one line that bench.py finds: every kind of failure apart. And a pace: $PACE_MS between the requests of a connection.
local pace = tonumber(os.getenv("PACE_MS") or "0")
if pace > 0 then
	function delay()
		return math.random(0, 2 * pace)
	end
end
function done(summary, latency, requests)
	local e = summary.errors
	io.write(string.format('WRK {"requests": %d, "seconds": %.3f, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f}\n',
		summary.requests, summary.duration / 1e6, e.connect, e.read, e.write, e.status, e.timeout,
		latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
