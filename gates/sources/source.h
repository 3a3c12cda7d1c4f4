/* Metric sources: numbers about the arms from elsewhere than the router's own counts. The operator's file names them
 * (`metric_sources`), a pipeline refers to them by name: nothing in a repository can point Penstock at an address. One folder per kind,
 * gates/sources/<kind>/, listed in gates/sources/registry.c.
 *
 * A source answers "since last asked" for both arms at once, or says honestly that it cannot:
 *
 *     source_open -> struct source              (of the operator's file: an address, a command; shared by rollouts)
 *     ops->watch(source, metric, &watch)        (one rollout's metric: remembers counters between readings)
 *     ops->read(watch, arms, span, done, arg)   (asynchronous; exactly one call of done, from the loop)
 *
 * Counters are compared series by series (instance, label set): when one went down, its instance was restarted, and what it counts now counts
 * from zero; counters that do not tell by instance and went down start afresh. A series that is new on an instance already known counts from
 * zero (it was not there because it was zero); those of a new instance count from their first reading.
 * A watch's first reading only remembers, and says `nothing_yet`.
 * Partial answers (a scrape of one of three instances failed, Prometheus warns) are errors, never less data: what is missing
 * would look like an improvement. NaN and infinities are no data. */
#ifndef GATES_SOURCES_SOURCE_H
#define GATES_SOURCES_SOURCE_H

#include "base/buf.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/schema.h"
#include "gates/measure.h"
#include "pipelines/rollout_spec.h"

struct source_arm {
	const char *name; /* "stable", "candidate" */
	const char *version, *image;
	const char *const *instances; /* "127.0.0.1:20001" of each ready copy */
	size_t n_instances;
};
struct source_span {
	int64_t from_ms, to_ms; /* since the last reading, for range queries and {{window}}; wall clock; to_ms never goes back */
	bool afresh;            /* only remember, compare with nothing: the split changed since the last good reading. Gives nothing_yet */
};

struct source_reading {
	bool nothing_yet;       /* the first reading of counters, or every series was reset: nothing to compare */
	bool no_data;           /* it answered, but with no series, no change, or NaN */
	struct measure measure; /* when neither */
	char note[160];         /* for people: "3 counters were reset", or "" */
};
typedef void (*source_done_fn)(void *arg, const struct source_reading *reading, struct error *err); /* exactly one is set; both stay ours */

struct source_config {
	const char *name;             /* operator's */
	const struct yaml_node *body; /* of the kind, schema-checked; must outlive the source. NULL for the built-in "app" */
	const char *state_dir;        /* for commands: where their attempt folders may be; may be NULL */
};

struct source;       /* begins with `const struct source_ops *ops` */
struct source_watch; /* begins with `const struct source_ops *ops` */
struct source_ops {
	const char *name; /* "openmetrics", "prometheus", "json", "command" */
	const char *doc;
	const struct schema *config; /* of the operator's body */
	/* What a metric's selectors must look like here (checked by `penstock lint` and the deploy stage as far as they can be without asking):
	 * NULL if well, else what is wrong; static or in `space`. */
	const char *(*check)(const struct analysis_metric *metric, char *space, size_t size);
	int (*open)(const struct source_config *config, struct loop *loop, struct source **ret, struct error **err);
	void (*close)(struct source *source); /* after its watches; NULL is fine */
	int (*watch)(struct source *source, const struct analysis_metric *metric /* outlives the watch */, struct source_watch **ret,
		     struct error **err);
	/* One reading at a time for each watch. After an error or no_data the next reading counts since the last good one. */
	void (*read)(struct source_watch *watch, const struct source_arm arms[2] /* stable, candidate; copied as needed */,
		     const struct source_span *span, source_done_fn done, void *arg);
	void (*unwatch)(struct source_watch *watch); /* drops what is in flight without calling back; NULL is fine. Killed
						      * commands are reaped by the loop: child_drain() before loop_free() */
};
struct source {
	const struct source_ops *ops;
};
struct category_order; /* gates/sources/categories.h */
struct source_watch {
	const struct source_ops *ops;
	struct category_order *categories; /* DISTRIBUTION: what measure_arm.counts[i] stands for; else NULL */
};

const struct source_ops *const *source_registry(void); /* NULL-terminated */
const struct source_ops *source_find(const char *kind);
/* The built-in source "app": scrapes http://<instance>/metrics (OpenMetrics or Prometheus text) of every ready copy. */
#define SOURCE_APP "app"
/* What is wrong with the metric's selectors for this kind of source: selectors that its kind of numbers needs, then ops->check(). */
const char *source_check(const struct source_ops *ops, const struct analysis_metric *metric, char *space, size_t size);

/* The categories of a distribution, in the order of measure_arm.counts: an array of names ("fraud", or upper edges of bins "0.5", "+Inf").
 * Stored with the rollout, because the evidence is kept by position; given back to a new watch after a restart, before its first reading.
 * New reference; an empty array if there are none yet. INVALID: no such array. */
json_t *source_categories(const struct source_watch *watch);
int source_categories_restore(struct source_watch *watch, const json_t *names, struct error **err) must_check;

/* "{{arm}}", "{{version}}", "{{image}}", "{{instances}}" (a regular expression: "127\.0\.0\.1:20001|127\.0\.0\.1:20002"), "{{window}}" ("30s"),
 * and what else template.h lists. Values are escaped for a double-quoted PromQL string; unknown names are INVALID, naming the column. `out` is
 * appended to. */
int source_expand(const char *text, const struct source_arm *arm, const struct source_span *span, struct buf *out, struct error **err) must_check;
#endif
