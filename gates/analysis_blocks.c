/* What goes into an analysis: checked before it is believed, written as JSON and read back. */
#include "gates/analysis_priv.h"

#include <inttypes.h>
#include <math.h>

/* ---- checks ---- */

static int check_instances(const struct instance_counts *instances, unsigned n, uint64_t total, uint64_t events, struct error **err)
{
	uint64_t sum_n = 0, sum_y = 0;
	if (n > MEASURE_INSTANCES)
		return error_set(err, ERROR_INVALID, 0, "%u instances, at most %d", n, MEASURE_INSTANCES);
	for (unsigned i = 0; i < n; i++) {
		if (instances[i].n > MAX_COUNT || instances[i].y > instances[i].n)
			return error_set(err, ERROR_INVALID, 0, "instance %u: %" PRIu64 " events among %" PRIu64, i + 1, instances[i].y,
					 instances[i].n);
		sum_n += instances[i].n;
		sum_y += instances[i].y;
	}
	if (sum_n > total || sum_y > events || total - sum_n < events - sum_y)
		return error_set(err, ERROR_INVALID, 0, "instances with %" PRIu64 " and %" PRIu64 " events of %" PRIu64 " and %" PRIu64, sum_n, sum_y,
				 total, events);
	return 0;
}

static int check_arm(const char *name, const struct arm_counts *arm, struct error **err)
{
	if (arm->errors > arm->completed)
		return error_set(err, ERROR_INVALID, 0, "%s: %" PRIu64 " errors among %" PRIu64 " completed requests", name, arm->errors,
				 arm->completed);
	bool large = arm->assigned > MAX_COUNT || arm->completed > MAX_COUNT || arm->latency_sum_us > UINT64_MAX / 4;
	for (size_t i = 0; i < LATENCY_LADDER_BUCKETS; i++)
		large = large || arm->latency_buckets[i] > MAX_COUNT / LATENCY_LADDER_BUCKETS;
	if (large)
		return error_set(err, ERROR_INVALID, 0, "%s: counts beyond 2^53", name);
	if (check_instances(arm->instances, arm->n_instances, arm->completed, arm->errors, err) < 0)
		return error_context(err, "%s", name);
	return 0;
}

int analysis_check_block(const struct analysis_block *block, struct error **err)
{
	if (check_arm("stable", &block->stable, err) < 0 || check_arm("candidate", &block->candidate, err) < 0)
		return error_context(err, "block of counts");
	if (block->weight_ppm > 1000000)
		return error_set(err, ERROR_INVALID, 0, "block of counts: a share of %" PRIu32 " millionths", block->weight_ppm);
	if (block->to_ms < block->from_ms)
		return error_set(err, ERROR_INVALID, 0, "block of counts: ends before it begins");
	return 0;
}

static int check_measured(const char *name, const struct analysis_metric *metric, const struct measure_arm *arm, struct error **err)
{
	uint64_t sum = 0;
	double n = (double)arm->n;
	if (arm->n > MAX_COUNT)
		return error_set(err, ERROR_INVALID, 0, "%s: counts beyond 2^53", name);
	switch (metric->kind) {
	case METRIC_LATENCY:
		return 0;
	case METRIC_RATE:
		if (arm->y > arm->n)
			return error_set(err, ERROR_INVALID, 0, "%s: %" PRIu64 " events among %" PRIu64 " trials", name, arm->y, arm->n);
		if (check_instances(arm->instances, arm->n_instances, arm->n, arm->y, err) < 0)
			return error_context(err, "%s", name);
		return 0;
	case METRIC_DISTRIBUTION:
		if (arm->n_counts > MEASURE_CATEGORIES)
			return error_set(err, ERROR_INVALID, 0, "%s: %u categories, at most %d", name, arm->n_counts, MEASURE_CATEGORIES);
		for (size_t i = 0; i < MEASURE_CATEGORIES; i++) {
			if (arm->counts[i] > MAX_COUNT / MEASURE_CATEGORIES || (i >= arm->n_counts && arm->counts[i]))
				return error_set(err, ERROR_INVALID, 0, "%s: category %zu has %" PRIu64, name, i + 1, arm->counts[i]);
			sum += arm->counts[i];
		}
		if (sum != arm->n)
			return error_set(err, ERROR_INVALID, 0, "%s: counts that add up to %" PRIu64 ", not %" PRIu64, name, sum, arm->n);
		return 0;
	case METRIC_MEAN: {
		double slack = 1e-9 * n * fmax(fabs(metric->low), fabs(metric->high)); /* the sum's own rounding */
		if (!isfinite(arm->sum) || arm->sum < n * metric->low - slack || arm->sum > n * metric->high + slack)
			return error_set(err, ERROR_INVALID, 0, "%s: %" PRIu64 " values between %g and %g cannot add up to %g", name, arm->n,
					 metric->low, metric->high, arm->sum);
		return 0;
	}
	}
	abort();
}

int analysis_check_measure(const struct analysis_metric *metric, const struct measure *measure, struct error **err)
{
	if (check_measured("stable", metric, &measure->stable, err) < 0)
		return -1;
	return check_measured("candidate", metric, &measure->candidate, err);
}

/* ---- to JSON ---- */

static json_t *count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *pair(uint64_t a, uint64_t b)
{
	json_t *json = json_array();
	json_array_append_new(json, count(a));
	json_array_append_new(json, count(b));
	return json;
}

static json_t *arm_to_json(const struct arm_counts *arm)
{
	json_t *json = json_object(), *latency = json_array();
	json_object_set_new(json, "assigned", count(arm->assigned));
	json_object_set_new(json, "completed", count(arm->completed));
	json_object_set_new(json, "errors", count(arm->errors));
	json_object_set_new(json, "latency_sum_us", count(arm->latency_sum_us));
	for (size_t i = 0; i < LATENCY_LADDER_BUCKETS; i++)
		if (arm->latency_buckets[i])
			json_array_append_new(latency, pair(i, arm->latency_buckets[i]));
	json_object_set_new(json, "latency", latency);
	if (!arm->n_instances)
		return json;
	json_t *instances = json_array();
	for (unsigned i = 0; i < arm->n_instances && i < MEASURE_INSTANCES; i++) {
		json_t *instance = pair(arm->instance_ids[i], arm->instances[i].n);
		json_array_append_new(instance, count(arm->instances[i].y));
		json_array_append_new(instances, instance);
	}
	json_object_set_new(json, "instances", instances);
	return json;
}

json_t *analysis_block_to_json(const struct analysis_block *block)
{
	json_t *json = json_object();
	json_object_set_new(json, "weight_ppm", count(block->weight_ppm));
	json_object_set_new(json, "from_ms", json_integer(block->from_ms));
	json_object_set_new(json, "to_ms", json_integer(block->to_ms));
	json_object_set_new(json, "stable", arm_to_json(&block->stable));
	json_object_set_new(json, "candidate", arm_to_json(&block->candidate));
	return json;
}

static json_t *measured_to_json(const struct measure_arm *arm, enum metric_kind kind)
{
	json_t *json = json_object();
	if (kind == METRIC_DISTRIBUTION) {
		json_t *counts = json_array();
		for (unsigned i = 0; i < arm->n_counts && i < MEASURE_CATEGORIES; i++)
			json_array_append_new(counts, count(arm->counts[i]));
		json_object_set_new(json, "counts", counts);
		return json;
	}
	json_object_set_new(json, "n", count(arm->n));
	if (kind == METRIC_MEAN) {
		json_object_set_new(json, "sum", json_real(arm->sum));
		return json;
	}
	json_object_set_new(json, "y", count(arm->y));
	if (arm->n_instances) {
		json_t *instances = json_array();
		for (unsigned i = 0; i < arm->n_instances && i < MEASURE_INSTANCES; i++)
			json_array_append_new(instances, pair(arm->instances[i].n, arm->instances[i].y));
		json_object_set_new(json, "instances", instances);
	}
	return json;
}

json_t *measure_to_json(const struct measure *measure, enum metric_kind kind)
{
	json_t *json = json_object();
	json_object_set_new(json, "stable", measured_to_json(&measure->stable, kind));
	json_object_set_new(json, "candidate", measured_to_json(&measure->candidate, kind));
	return json;
}

/* ---- and back ---- */

static int read_whole(const json_t *value, const char *what, uint64_t *ret, struct error **err)
{
	if (!json_is_integer(value))
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected an integer", what);
	if (json_integer_value(value) < 0)
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": negative", what);
	if ((uint64_t)json_integer_value(value) > MAX_COUNT)
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": beyond 2^53", what);
	*ret = (uint64_t)json_integer_value(value);
	return 0;
}

static int read_count(const json_t *json, const char *key, uint64_t *ret, struct error **err)
{
	return read_whole(json_object_get(json, key), key, ret, err);
}

static int read_row(const json_t *row, size_t columns, const char *what, uint64_t *ret, struct error **err)
{
	if (json_array_size(row) != columns)
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected rows of %zu numbers", what, columns);
	for (size_t i = 0; i < columns; i++)
		if (read_whole(json_array_get(row, i), what, &ret[i], err) < 0)
			return -1;
	return 0;
}

static int read_ladder(const json_t *json, struct arm_counts *ret, struct error **err)
{
	const json_t *rows = json_object_get(json, "latency");
	if (!json_is_array(rows))
		return error_set(err, ERROR_INVALID, 0, "key \"latency\": expected an array");
	for (size_t i = 0; i < json_array_size(rows); i++) {
		uint64_t row[2];
		if (read_row(json_array_get(rows, i), 2, "latency", row, err) < 0)
			return -1;
		if (row[0] >= LATENCY_LADDER_BUCKETS)
			return error_set(err, ERROR_INVALID, 0, "key \"latency\": bucket %" PRIu64 " of %d", row[0], LATENCY_LADDER_BUCKETS);
		ret->latency_buckets[row[0]] += row[1];
	}
	return 0;
}

/* Version 1 had 24 buckets with the upper edges 1, 1.5, 2, 3, 5, 7, 10 ... ms, the last open: each goes to the rung that holds its upper edge. */
static int read_old_ladder(const json_t *old, struct arm_counts *ret, struct error **err)
{
	static const double edges[] = {1, 1.5, 2, 3, 5, 7}, tens[] = {1, 10, 100, 1000};
	if (json_array_size(old) != 24)
		return error_set(err, ERROR_INVALID, 0, "key \"latency_buckets\": expected 24 numbers");
	for (size_t i = 0; i < 24; i++) {
		uint64_t n;
		if (read_whole(json_array_get(old, i), "latency_buckets", &n, err) < 0)
			return -1;
		size_t rung = i < 23 ? latency_ladder_index(edges[i % 6] * tens[i / 6] * (1 - 1e-9)) : latency_ladder_index(5000);
		ret->latency_buckets[rung] += n;
	}
	return 0;
}

static int read_instances(const json_t *json, struct arm_counts *ret, struct error **err)
{
	const json_t *rows = json_object_get(json, "instances");
	if (!rows)
		return 0;
	if (!json_is_array(rows) || json_array_size(rows) > MEASURE_INSTANCES)
		return error_set(err, ERROR_INVALID, 0, "key \"instances\": expected at most %d rows", MEASURE_INSTANCES);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		uint64_t row[3];
		if (read_row(json_array_get(rows, i), 3, "instances", row, err) < 0)
			return -1;
		if (row[0] > UINT32_MAX)
			return error_set(err, ERROR_INVALID, 0, "key \"instances\": no instance has the number %" PRIu64, row[0]);
		ret->instance_ids[i] = (uint32_t)row[0];
		ret->instances[i] = (struct instance_counts){row[1], row[2]};
		ret->n_instances++;
	}
	return 0;
}

static int read_arm(const json_t *block, const char *name, struct arm_counts *ret, struct error **err)
{
	const json_t *json = json_object_get(block, name), *old = json_object_get(json, "latency_buckets");
	if (!json_is_object(json))
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected an object", name);
	if (read_count(json, "assigned", &ret->assigned, err) < 0 || read_count(json, "completed", &ret->completed, err) < 0 ||
	    read_count(json, "errors", &ret->errors, err) < 0 || read_count(json, "latency_sum_us", &ret->latency_sum_us, err) < 0 ||
	    (old ? read_old_ladder(old, ret, err) : read_ladder(json, ret, err)) < 0 || read_instances(json, ret, err) < 0)
		return error_context(err, "%s", name);
	return 0;
}

int analysis_block_from_json(const json_t *json, struct analysis_block *ret, struct error **err)
{
	struct analysis_block block = {0};
	uint64_t weight = 0;
	if (!json_is_object(json))
		return error_set(err, ERROR_INVALID, 0, "block of counts: expected an object");
	if (read_count(json, "weight_ppm", &weight, err) < 0 || json_need_int(json, "from_ms", &block.from_ms, err) < 0 ||
	    json_need_int(json, "to_ms", &block.to_ms, err) < 0 || read_arm(json, "stable", &block.stable, err) < 0 ||
	    read_arm(json, "candidate", &block.candidate, err) < 0)
		return error_context(err, "block of counts");
	if (weight > 1000000)
		return error_set(err, ERROR_INVALID, 0, "block of counts: a share of %" PRIu64 " millionths", weight);
	block.weight_ppm = (uint32_t)weight;
	if (analysis_check_block(&block, err) < 0)
		return -1;
	*ret = block;
	return 0;
}

static int read_categories(const json_t *json, struct measure_arm *ret, struct error **err)
{
	const json_t *counts = json_object_get(json, "counts");
	if (!json_is_array(counts) || json_array_size(counts) > MEASURE_CATEGORIES)
		return error_set(err, ERROR_INVALID, 0, "key \"counts\": expected at most %d numbers", MEASURE_CATEGORIES);
	for (size_t i = 0; i < json_array_size(counts); i++) {
		if (read_whole(json_array_get(counts, i), "counts", &ret->counts[i], err) < 0)
			return -1;
		if (ret->counts[i] > MAX_COUNT / MEASURE_CATEGORIES)
			return error_set(err, ERROR_INVALID, 0, "key \"counts\": category %zu has %" PRIu64, i + 1, ret->counts[i]);
		ret->n_counts++;
		ret->n += ret->counts[i];
	}
	return 0;
}

static int read_trials(const json_t *json, struct measure_arm *ret, struct error **err)
{
	const json_t *rows = json_object_get(json, "instances");
	if (read_count(json, "n", &ret->n, err) < 0 || read_count(json, "y", &ret->y, err) < 0)
		return -1;
	if (ret->y > ret->n)
		return error_set(err, ERROR_INVALID, 0, "%" PRIu64 " events among %" PRIu64 " trials", ret->y, ret->n);
	if (!rows)
		return 0;
	if (!json_is_array(rows) || json_array_size(rows) > MEASURE_INSTANCES)
		return error_set(err, ERROR_INVALID, 0, "key \"instances\": expected at most %d rows", MEASURE_INSTANCES);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		uint64_t row[2];
		if (read_row(json_array_get(rows, i), 2, "instances", row, err) < 0)
			return -1;
		ret->instances[i] = (struct instance_counts){row[0], row[1]};
		ret->n_instances++;
	}
	return check_instances(ret->instances, ret->n_instances, ret->n, ret->y, err);
}

static int read_values(const json_t *json, struct measure_arm *ret, struct error **err)
{
	const json_t *sum = json_object_get(json, "sum");
	if (read_count(json, "n", &ret->n, err) < 0)
		return -1;
	if (!json_is_number(sum))
		return error_set(err, ERROR_INVALID, 0, "key \"sum\": expected a number");
	ret->sum = json_number_value(sum);
	return 0;
}

static int read_measured(const json_t *json, const char *name, enum metric_kind kind, struct measure_arm *ret, struct error **err)
{
	const json_t *arm = json_object_get(json, name);
	int result = -1;
	if (!json_is_object(arm))
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected an object", name);
	switch (kind) {
	case METRIC_RATE:
		result = read_trials(arm, ret, err);
		break;
	case METRIC_DISTRIBUTION:
		result = read_categories(arm, ret, err);
		break;
	case METRIC_MEAN:
		result = read_values(arm, ret, err);
		break;
	case METRIC_LATENCY:
		return error_set(err, ERROR_INVALID, 0, "a latency is counted by the router");
	}
	return result < 0 ? error_context(err, "%s", name) : 0;
}

int measure_from_json(const json_t *json, enum metric_kind kind, struct measure *ret, struct error **err)
{
	struct measure measure = {0};
	if (read_measured(json, "stable", kind, &measure.stable, err) < 0 || read_measured(json, "candidate", kind, &measure.candidate, err) < 0)
		return error_context(err, "measure");
	*ret = measure;
	return 0;
}
