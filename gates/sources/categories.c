#include "gates/sources/categories.h"

#include "base/alloc.h"
#include "gates/measure.h"

#include <math.h>
#include <string.h>

struct category_order {
	struct strlist names;
};

struct category_order *category_order_new(void)
{
	return xcalloc(1, sizeof(struct category_order));
}

void category_order_free(struct category_order *order)
{
	if (!order)
		return;
	strlist_done(&order->names);
	free(order);
}

size_t category_order_count(const struct category_order *order)
{
	return order->names.n;
}

const char *category_order_name(const struct category_order *order, size_t i)
{
	return order->names.items[i];
}

/* SIZE_MAX: not there. */
static size_t find(const struct category_order *order, const char *name)
{
	for (size_t i = 0; i < order->names.n; i++)
		if (strcmp(order->names.items[i], name) == 0)
			return i;
	return SIZE_MAX;
}

int category_order_place(const struct category_order *order, const char *name)
{
	size_t at = find(order, name);

	if (at == SIZE_MAX)
		return -1;
	return (int)(at < MEASURE_CATEGORIES ? at : MEASURE_CATEGORIES - 1);
}

static int compare_samples(const void *a, const void *b)
{
	const struct sample *one = *(const struct sample *const *)a, *two = *(const struct sample *const *)b;

	if (!isnan(one->edge) && !isnan(two->edge))
		return (one->edge > two->edge) - (one->edge < two->edge);
	return strcmp(one->category, two->category);
}

/* The arm's categories, each once, in order. Returns how many. */
static size_t distinct(const struct arm_samples *arm, const struct sample **ret)
{
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < arm->n; i++)
		if (arm->items[i].role == SAMPLE_COUNT)
			ret[n++] = &arm->items[i];
	if (n)
		qsort(ret, n, sizeof(*ret), compare_samples);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || strcmp(ret[kept - 1]->category, ret[i]->category) != 0)
			ret[kept++] = ret[i];
	return kept;
}

static int check_same_buckets(const struct sample **stable, size_t n_stable, const struct sample **candidate, size_t n_candidate, struct error **err)
{
	for (size_t i = 0; i < n_stable || i < n_candidate; i++) {
		const char *one = i < n_stable ? stable[i]->category : "none", *two = i < n_candidate ? candidate[i]->category : "none";
		if (strcmp(one, two) != 0)
			return error_set(err, ERROR_INVALID, 0,
					 "stable and candidate have different buckets (number %zu ends at %s and at %s): they cannot be compared",
					 i + 1, one, two);
	}
	return 0;
}

static int check_old_buckets(const struct category_order *order, const struct sample **now, size_t n, struct error **err)
{
	for (size_t i = 0; i < order->names.n || i < n; i++) {
		const char *before = i < order->names.n ? order->names.items[i] : "none", *name = i < n ? now[i]->category : "none";
		if (strcmp(before, name) != 0)
			return error_set(
				err, ERROR_INVALID, 0,
				"the buckets have changed since the rollout began (number %zu ended at %s, now at %s): they cannot be compared",
				i + 1, before, name);
	}
	return 0;
}

static int take_buckets(struct category_order *order, const struct sample **of[2], const size_t n[2], struct error **err)
{
	size_t more = n[0] >= n[1] ? 0 : 1;

	if (n[0] && n[1] && check_same_buckets(of[0], n[0], of[1], n[1], err) < 0)
		return -1;
	if (order->names.n)
		return check_old_buckets(order, of[more], n[more], err);
	for (size_t i = 0; i < n[more]; i++)
		strlist_add(&order->names, of[more][i]->category);
	return 0;
}

static int check_names(const struct sample **classes, size_t n, struct error **err)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(classes[i]->category) > CATEGORY_NAME_MAX)
			return error_set(err, ERROR_TOO_LARGE, 0, "the name of a class is longer than %d bytes; choose a label with shorter values",
					 CATEGORY_NAME_MAX);
	return 0;
}

static int take_classes(struct category_order *order, const struct sample **of[2], const size_t n[2], struct error **err)
{
	size_t at[2] = {0, 0}, before = order->names.n;

	if (check_names(of[0], n[0], err) < 0 || check_names(of[1], n[1], err) < 0)
		return -1;
	while (at[0] < n[0] || at[1] < n[1]) { /* both are sorted: merge, so that the order does not depend on the arm */
		size_t arm = at[0] == n[0] || (at[1] < n[1] && strcmp(of[1][at[1]]->category, of[0][at[0]]->category) < 0);
		const char *name = of[arm][at[arm]++]->category;
		if (find(order, name) != SIZE_MAX)
			continue;
		if (order->names.n == CATEGORIES_NAMES_MAX) {
			while (order->names.n > before)
				free(order->names.items[--order->names.n]);
			return error_set(err, ERROR_TOO_LARGE, 0, "more than %d classes; choose a label with fewer values", CATEGORIES_NAMES_MAX);
		}
		strlist_add(&order->names, name);
	}
	return 0;
}

int category_order_take(struct category_order *order, const struct arm_samples arms[2], struct error **err)
{
	size_t n_samples = arms[0].n + arms[1].n, n[2];
	cleanup_free const struct sample **all = xcalloc(n_samples + 1, sizeof(*all));
	const struct sample **of[2] = {all, all + arms[0].n};
	bool buckets = false, classes = false;

	for (size_t arm = 0; arm < 2; arm++)
		for (size_t i = 0; i < arms[arm].n; i++) {
			bool is_bucket = !isnan(arms[arm].items[i].edge);
			if (arms[arm].items[i].role != SAMPLE_COUNT)
				continue;
			buckets = buckets || is_bucket;
			classes = classes || !is_bucket;
		}
	if (buckets && classes)
		return error_set(err, ERROR_INVALID, 0,
				 "some series are counters by class and some are buckets of a histogram: they cannot be compared");
	for (size_t arm = 0; arm < 2; arm++)
		n[arm] = distinct(&arms[arm], of[arm]);
	return buckets ? take_buckets(order, of, n, err) : take_classes(order, of, n, err);
}

json_t *category_order_to_json(const struct category_order *order)
{
	json_t *names = json_array();

	for (size_t i = 0; i < order->names.n; i++)
		json_array_append_new(names, json_string(order->names.items[i]));
	return names;
}

int category_order_from_json(struct category_order *order, const json_t *names, struct error **err)
{
	size_t n = json_array_size(names);

	if (!json_is_array(names) || n > CATEGORIES_NAMES_MAX)
		return error_set(err, ERROR_INVALID, 0, "expected a list of at most %d categories", CATEGORIES_NAMES_MAX);
	for (size_t i = 0; i < n; i++)
		if (!json_is_string(json_array_get(names, i)))
			return error_set(err, ERROR_INVALID, 0, "category %zu: expected a name", i + 1);
	strlist_done(&order->names);
	order->names = (struct strlist){0};
	for (size_t i = 0; i < n; i++)
		strlist_add(&order->names, json_string_value(json_array_get(names, i)));
	return 0;
}
