#include "gates/sources/memory.h"

#include "base/alloc.h"
#include "gates/measure.h"

#include <math.h>
#include <string.h>

enum { GROUPS_MAX = 1000 /* in one reading */, PLACES_MAX = 4096, NAMES_MAX_BYTES = 32 << 20 /* remembered, of series that are not there now */ };

struct known_series {
	char *group, *series;
	enum sample_role role;
	double value;
	bool gone; /* its instance has answered without it */
};
struct known_group {
	char *name;
	double start;
	bool known; /* false: its series were dropped to make room, it counts as new again */
};

void series_memory_done(struct series_memory *memory)
{
	for (size_t i = 0; i < memory->n_series; i++) {
		free(memory->series[i].group);
		free(memory->series[i].series);
	}
	for (size_t i = 0; i < memory->n_groups; i++)
		free(memory->groups[i].name);
	free(memory->series);
	free(memory->groups);
	*memory = (struct series_memory){0};
}

static int compare_keys(const char *group_a, enum sample_role role_a, const char *series_a, const char *group_b, enum sample_role role_b,
			const char *series_b)
{
	int order = strcmp(group_a, group_b);

	if (order == 0)
		order = (role_a > role_b) - (role_a < role_b);
	return order ? order : strcmp(series_a, series_b);
}

static int compare_samples(const void *a, const void *b)
{
	const struct sample *one = a, *two = b;

	return compare_keys(one->group, one->role, one->series, two->group, two->role, two->series);
}

static int compare_known(const void *a, const void *b)
{
	const struct known_series *one = a, *two = b;

	return compare_keys(one->group, one->role, one->series, two->group, two->role, two->series);
}

static const struct known_series *find_series(const struct series_memory *memory, const struct sample *sample)
{
	size_t low = 0, high = memory->n_series;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct known_series *known = &memory->series[middle];
		int order = compare_keys(sample->group, sample->role, sample->series, known->group, known->role, known->series);
		if (order == 0)
			return known;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

int series_memory_place(const struct series_memory *memory, const char *group)
{
	for (size_t i = 0; i < memory->n_groups; i++)
		if (strcmp(memory->groups[i].name, group) == 0)
			return (int)i;
	return -1;
}

static double start_of(const struct arm_samples *samples, const char *group)
{
	for (size_t i = 0; i < samples->n_groups; i++)
		if (strcmp(samples->groups[i].name, group) == 0)
			return samples->groups[i].start;
	return (double)NAN;
}

static int check_counter(const struct sample *sample, struct error **err)
{
	const char *of = *sample->group ? " of " : "";
	double value = sample->value;

	if (value < 0)
		return error_set(err, ERROR_INVALID, 0, "%s%s%s is %.17g: no counter is negative", sample->series, of, sample->group, value);
	if (value > COUNTER_MAX)
		return error_set(err, ERROR_INVALID, 0, "%s%s%s is %.17g: beyond 2^53 not every whole number can be told from the next",
				 sample->series, of, sample->group, value);
	if (value != floor(value))
		return error_set(err, ERROR_INVALID, 0, "%s%s%s is %.17g: a counter of events is a whole number", sample->series, of, sample->group,
				 value);
	return 0;
}

static int check_samples(const struct arm_samples *samples, struct error **err)
{
	size_t n_groups = 0;

	for (size_t i = 0; i < samples->n; i++) {
		const struct sample *sample = &samples->items[i];
		n_groups += i == 0 || strcmp(sample[-1].group, sample->group) != 0;
		if (n_groups > GROUPS_MAX)
			return error_set(err, ERROR_TOO_LARGE, 0, "more than %d instances match; select fewer", GROUPS_MAX);
		if (check_counter(sample, err) < 0)
			return -1;
		if (i && compare_samples(sample - 1, sample) == 0)
			return error_set(err, ERROR_INVALID, 0, "%s%s%s stands there twice", sample->series, *sample->group ? " of " : "",
					 sample->group);
	}
	return 0;
}

/* items[from..to) are the group's, possibly none. That a series which was gone counts from zero says nothing about the others. */
static bool was_reset(const struct series_memory *memory, const struct known_group *group, const struct arm_samples *samples, size_t from, size_t to)
{
	double start = start_of(samples, group->name);

	if (!isnan(start) && !isnan(group->start) && start != group->start)
		return true;
	for (size_t i = from; i < to; i++) {
		const struct known_series *known = find_series(memory, &samples->items[i]);
		if (known && !known->gone && samples->items[i].value < known->value)
			return true;
	}
	return false;
}

static double change_since(const struct known_series *known, double value)
{
	bool afresh = !known || (known->gone && value < known->value);
	return afresh ? value : value - known->value;
}

int series_memory_compare(const struct series_memory *memory, struct arm_samples *samples, struct series_changes *ret, struct error **err)
{
	struct series_changes changes = {.nothing = true};

	if (samples->n)
		qsort(samples->items, samples->n, sizeof(*samples->items), compare_samples);
	if (check_samples(samples, err) < 0)
		return -1;
	changes.change = xcalloc(samples->n + 1, sizeof(*changes.change));
	for (size_t at = 0, next; at < samples->n; at = next) {
		const char *group = samples->items[at].group;
		for (next = at + 1; next < samples->n && strcmp(samples->items[next].group, group) == 0;)
			next++;
		int place = series_memory_place(memory, group);
		if (!memory->started || place < 0 || !memory->groups[place].known) {
			changes.n_new++;
			continue;
		}
		bool reset = was_reset(memory, &memory->groups[place], samples, at, next);
		changes.n_restarted += reset;
		/* A sum over instances, one of which was restarted: what is left of the sum tells nothing about the time since. */
		changes.started_afresh = changes.started_afresh || (reset && !*group);
		changes.nothing = changes.nothing && reset;
		for (size_t i = at; i < next; i++) {
			const struct known_series *known = reset ? NULL : find_series(memory, &samples->items[i]);
			changes.change[i] = change_since(known, samples->items[i].value);
		}
	}
	changes.nothing = changes.nothing || changes.started_afresh;
	for (size_t i = 0; changes.nothing && i < samples->n; i++)
		changes.change[i] = 0;
	*ret = changes;
	return 0;
}

static bool answered(const struct arm_samples *samples, const char *group)
{
	for (size_t i = 0; i < samples->n_groups; i++)
		if (strcmp(samples->groups[i].name, group) == 0)
			return true;
	/* Sorted by group. */
	size_t low = 0, high = samples->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(group, samples->items[middle].group);
		if (order == 0)
			return true;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

/* Instances come and go all through a long rollout: one that is long gone makes room. The first places stay: they are told by number. */
static int place_to_reuse(const struct series_memory *memory, const struct arm_samples *samples)
{
	if (memory->n_groups < PLACES_MAX)
		return -1;
	for (size_t i = memory->n_groups; i-- > MEASURE_INSTANCES;)
		if (!answered(samples, memory->groups[i].name))
			return (int)i;
	return -1;
}

static void know_group(struct series_memory *memory, const char *name, double start, const struct arm_samples *samples)
{
	int place = series_memory_place(memory, name);

	if (place < 0 && (place = place_to_reuse(memory, samples)) >= 0) {
		free(memory->groups[place].name);
		memory->groups[place].name = xstrdup(name);
	}
	if (place < 0) {
		memory->groups = xrealloc(memory->groups, (memory->n_groups + 1) * sizeof(*memory->groups));
		place = (int)memory->n_groups++;
		memory->groups[place] = (struct known_group){.name = xstrdup(name)};
	}
	memory->groups[place].start = start;
	memory->groups[place].known = true;
}

/* The group's samples; where they would stand if there are none. */
static void range_of(const struct arm_samples *samples, const char *group, size_t *ret_from, size_t *ret_to)
{
	size_t low = 0, high = samples->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(samples->items[middle].group, group) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (*ret_from = *ret_to = low; *ret_to < samples->n && strcmp(samples->items[*ret_to].group, group) == 0;)
		++*ret_to;
}

/* What is not among the samples of an instance that answers goes on where it was should it come back: it may have been left out, and to count
 * all of it once more would be harm that nobody did. Of an instance that was restarted it begins anew. */
static bool was_restarted(const struct series_memory *memory, const struct arm_samples *samples, const char *group)
{
	size_t from, to;
	int place = series_memory_place(memory, group);

	range_of(samples, group, &from, &to);
	return place >= 0 && was_reset(memory, &memory->groups[place], samples, from, to);
}

static bool is_there(const struct arm_samples *samples, const struct known_series *known)
{
	struct sample sample = {.group = known->group, .role = known->role, .series = known->series};

	return samples->n && bsearch(&sample, samples->items, samples->n, sizeof(sample), compare_samples);
}

/* Copies what stays to `ret`, which has room for all, and frees the rest; returns how many. Sums over instances may only be late, restarted or
 * not. */
static size_t keep_absent(struct series_memory *memory, const struct arm_samples *samples, bool room, struct known_series *ret)
{
	size_t n = 0;
	bool stays = false, answers = false;

	for (size_t i = 0; i < memory->n_series; i++) { /* before any is freed */
		struct known_series *known = &memory->series[i];
		if (i == 0 || strcmp(memory->series[i - 1].group, known->group) != 0) {
			answers = answered(samples, known->group);
			stays = room && (!answers || !*known->group || !was_restarted(memory, samples, known->group));
		}
		known->gone = known->gone || (answers && *known->group);
		if (stays && !is_there(samples, known)) {
			ret[n++] = (struct known_series){.group = xstrdup(known->group),
							 .series = xstrdup(known->series),
							 .role = known->role,
							 .value = known->value,
							 .gone = known->gone};
		}
	}
	for (size_t i = 0; i < memory->n_series; i++) {
		free(memory->series[i].group);
		free(memory->series[i].series);
	}
	return n;
}

static bool has_room(const struct series_memory *memory, const struct arm_samples *samples)
{
	size_t bytes = 0;

	for (size_t i = 0; i < memory->n_series; i++)
		bytes += strlen(memory->series[i].group) + strlen(memory->series[i].series);
	return samples->n + memory->n_series <= 2 * (size_t)SAMPLES_MAX && bytes <= NAMES_MAX_BYTES;
}

void series_memory_keep(struct series_memory *memory, const struct arm_samples *samples)
{
	struct known_series *series = xcalloc(samples->n + memory->n_series + 1, sizeof(*series));
	size_t n = 0;
	bool room = has_room(memory, samples);

	for (size_t i = 0; i < samples->n; i++) {
		const struct sample *sample = &samples->items[i];
		series[n++] = (struct known_series){
			.group = xstrdup(sample->group), .series = xstrdup(sample->series), .role = sample->role, .value = sample->value};
	}
	for (size_t i = 0; i < memory->n_groups; i++)
		memory->groups[i].known = memory->groups[i].known && (room || answered(samples, memory->groups[i].name));
	n += keep_absent(memory, samples, room, series + n);
	free(memory->series);
	qsort(series, n, sizeof(*series), compare_known);
	memory->series = series;
	memory->n_series = n;
	for (size_t i = 0; i < samples->n_groups; i++)
		know_group(memory, samples->groups[i].name, samples->groups[i].start, samples);
	for (size_t i = 0; i < samples->n; i++)
		if (i == 0 || strcmp(samples->items[i].group, samples->items[i - 1].group) != 0)
			know_group(memory, samples->items[i].group, start_of(samples, samples->items[i].group), samples);
	memory->started = true;
}
