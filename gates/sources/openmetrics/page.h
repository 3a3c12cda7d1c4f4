/* A page of metrics: OpenMetrics 1.0 or Prometheus' text format 0.0.4. Pure and strict: what cannot be read is an error with its line, never
 * skipped, because what is missing would look like an improvement. Exemplars and timestamps are read and ignored.
 * Formats: https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md,
 * https://prometheus.io/docs/instrumenting/exposition_formats/ */
#ifndef GATES_SOURCES_OPENMETRICS_PAGE_H
#define GATES_SOURCES_OPENMETRICS_PAGE_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>

#define PAGE_MAX_BYTES (8 << 20)
#define PAGE_MAX_SAMPLES 100000
#define PAGE_MAX_LABELS 64

/* name, how the formats write it */
#define PAGE_TYPES(X)                                                                                                                                \
	X(UNKNOWN, "unknown")                                                                                                                        \
	X(UNTYPED, "untyped")                                                                                                                        \
	X(GAUGE, "gauge")                                                                                                                            \
	X(COUNTER, "counter")                                                                                                                        \
	X(HISTOGRAM, "histogram")                                                                                                                    \
	X(GAUGEHISTOGRAM, "gaugehistogram")                                                                                                          \
	X(SUMMARY, "summary")                                                                                                                        \
	X(STATESET, "stateset")                                                                                                                      \
	X(INFO, "info")
enum page_type {
#define X(name, text) PAGE_##name,
	PAGE_TYPES(X)
#undef X
};
const char *page_type_name(enum page_type type);

struct page_label {
	const char *name, *value;
};
struct page_sample {
	const char *name;          /* as written: with _total, _bucket ... */
	const char *series;        /* name{a="b",c="d"} with sorted labels: one of its kind on the page */
	struct page_label *labels; /* sorted by name */
	size_t n_labels;
	double value;
	size_t line;
};
struct page_family {
	const char *name; /* as TYPE names it */
	enum page_type type;
};
struct page {
	struct page_family *families; /* sorted by name */
	size_t n_families;
	struct page_sample *samples; /* sorted by name, then series */
	size_t n_samples;
};

/* Everything lives in the arena. `openmetrics`: the content type says so; then "# EOF" must be the last line. INVALID "line 3: ...". */
int page_parse(const char *text, size_t len, bool openmetrics, struct arena *arena, struct page *ret, struct error **err) must_check;
/* NULL: the page tells no type for it. */
const struct page_family *page_find_family(const struct page *page, const char *name);
/* The first sample of that name, its fellows follow; *ret_n 0 if there is none. */
const struct page_sample *page_find_samples(const struct page *page, const char *name, size_t *ret_n);
/* That one series, as page_sample.series writes it, or NULL. */
const struct page_sample *page_find_series(const struct page *page, const char *name, const char *series);
const char *page_label_value(const struct page_sample *sample, const char *name); /* NULL: no such label */
/* name{...} without one label, for histograms: name_bucket{a="b"} of name_bucket{a="b",le="1"}. In the arena. */
const char *page_series_without(const struct page_sample *sample, const char *label, struct arena *arena);
#endif
