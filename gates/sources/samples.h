/* What a source read for one arm, in one form whatever the source: numbers with the role they play. Made by the drivers, eaten by
 * reading.h. Pure. */
#ifndef GATES_SOURCES_SAMPLES_H
#define GATES_SOURCES_SAMPLES_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>

#define SAMPLES_MAX 50000 /* of one arm in one reading */

enum sample_role {
	SAMPLE_EVENTS, /* RATE: events among the trials */
	SAMPLE_TOTAL,  /* RATE: trials */
	SAMPLE_COUNT,  /* DISTRIBUTION: how often one category was seen */
	SAMPLE_VALUE,  /* MEAN: an observation */
};

struct sample {
	enum sample_role role;
	const char *group;    /* whose number it is: an instance; "" if that is not known */
	const char *series;   /* one of its kind within role and group; shown to people: penstock_labeled_total{model="a"} */
	const char *category; /* COUNT: its name */
	double edge;          /* COUNT of a histogram's bucket: upper edge; NAN for classes */
	double value;
};

struct histogram_bucket {           /* cumulative */
	const char *group, *series; /* without the label "le" */
	double le, value;
};

struct sample_group {
	const char *name;
	double start; /* when the process began, Unix seconds; NAN if it does not say */
};

struct arm_samples {
	struct arena *arena; /* of all strings; borrowed, must outlive this */
	struct sample *items;
	size_t n, capacity;
	struct sample_group *groups; /* instances that answered, even if with no such series */
	size_t n_groups, groups_capacity;
	struct histogram_bucket *buckets; /* until arm_samples_finish() */
	size_t n_buckets, buckets_capacity;
	bool windowed;     /* the numbers were counted in the span itself: nothing to compare with */
	char missing[128]; /* what was looked for in vain ("" if nothing was) */
};

/* Strings are copied into the arena. TOO_LARGE beyond SAMPLES_MAX. */
int arm_samples_add(struct arm_samples *samples, const struct sample *sample, struct error **err) must_check;
void arm_samples_add_group(struct arm_samples *samples, const char *name, double start);
/* Of any number of histograms, in any order. */
int arm_samples_add_bucket(struct arm_samples *samples, const struct histogram_bucket *bucket, struct error **err) must_check;
/* All has been added: turns buckets into COUNT samples, not cumulative any more. INVALID: a bucket twice, counts that go down towards higher
 * edges, no bucket "+Inf", an edge or count that is no number or negative, two histograms with different edges. */
int arm_samples_finish(struct arm_samples *samples, struct error **err) must_check;
void arm_samples_done(struct arm_samples *samples); /* not the arena */

/* A number as OpenMetrics, Prometheus' text and its JSON strings write it: decimal with exponent, NaN, Inf, +Inf, -Inf. */
bool sample_number(const char *text, size_t len, double *ret);
/* An upper edge's name: the shortest that reads back as the same number; "+Inf". In the arena. */
const char *sample_edge_name(struct arena *arena, double edge);

#endif
