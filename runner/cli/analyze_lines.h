/* Recorded counts for `penstock analyze`: JSON Lines, one block each. Everything is checked before anything is counted.
 *
 *   {"metric": "error_rate", "stable": {"n": 900, "y": 9}, "candidate": {"n": 100, "y": 3}}          a rate; also "instances": [[n, y] ...]
 *   {"metric": "classes", "stable": {"counts": [70, 20, 10]}, "candidate": {"counts": [7, 2, 1]}}     a distribution
 *   {"metric": "score", "stable": {"values": [0.9, 0.8]}, "candidate": {"n": 2, "sum": 1.5}}          a mean
 *   {"metric": "latency_p99", "stable": {"ms": [12.5, 14]}, "candidate": {"latency": [[55, 2]]}}      a latency: milliseconds, or rungs of the ladder
 *   beside: "weight": 0.1 (the candidate's share), "step": 2, "seconds": 60 (how long was counted) */
#ifndef RUNNER_CLI_ANALYZE_LINES_H
#define RUNNER_CLI_ANALYZE_LINES_H

#include "base/arena.h"
#include "base/buf.h"
#include "gates/analysis.h"

struct analyze_line {
	size_t metric;               /* of the spec */
	struct measure measure;      /* RATE, DISTRIBUTION, MEAN */
	struct analysis_block block; /* LATENCY */
	double weight;               /* -1: not told */
	int64_t step;                /* -1: not told */
	double seconds;              /* 0: not told */
};

/* Finds the metrics and their kinds (in the order of their first lines) and checks each line. Bounds and ranges come from `spec`, where those that
 * options told are named already; what the file adds is appended. Mistakes go to `mistakes` as "FILE:LINE: message", all of them; their number is
 * returned. */
size_t analyze_check(const char *file, const char *text, size_t len, struct arena *arena, struct rollout_spec *spec,
		     bool named[ROLLOUT_MAX_METRICS] /* has lines */, bool *ret_instances, struct buf *mistakes);
/* One checked line; false at the end. Empty lines are passed over. */
bool analyze_next(const char **at, const char *end, const struct rollout_spec *spec, struct analyze_line *ret);
#endif
