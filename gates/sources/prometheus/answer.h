/* Answers of Prometheus' HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api/) to instant and range queries. Pure and strict:
 * an answer with warnings, one that is marked as partial, one of another time or shape is an error. */
#ifndef GATES_SOURCES_PROMETHEUS_ANSWER_H
#define GATES_SOURCES_PROMETHEUS_ANSWER_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_MAX_BYTES (16 << 20)

struct answer_point {
	double at_s, value; /* NaN and infinities as they come */
};
struct answer_label {
	const char *name, *value;
};
struct answer_series {
	const char *series; /* name{a="b"} with sorted labels; "the result" for a scalar */
	struct answer_label *labels;
	size_t n_labels;
	struct answer_point *points; /* one for an instant query */
	size_t n_points;
};
struct answer {
	struct answer_series *series;
	size_t n_series;
};
struct answer_asked {
	bool range;
	double from_s, to_s; /* of a range; an instant query is asked for to_s */
};

/* Everything lives in the arena. `status` is the HTTP status: Prometheus explains a 400, 422 or 503 in its body. INVALID: it refuses the query;
 * UNAVAILABLE: it cannot answer now; PROTOCOL: what came is no whole answer to what was asked. */
int answer_parse(const char *body, size_t len, long status, const struct answer_asked *asked, struct arena *arena, struct answer *ret,
		 struct error **err) must_check;
const char *answer_label(const struct answer_series *series, const char *name); /* NULL: none */
/* The series' name without one label. In the arena. */
const char *answer_series_without(const struct answer_series *series, const char *label, struct arena *arena);
/* Whose it is: its labels `instance` and `job`, as "127.0.0.1:8000" or "127.0.0.1:8000 (models)"; "" without `instance`. In the arena. */
const char *answer_group(const struct answer_series *series, struct arena *arena);
#endif
