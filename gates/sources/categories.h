/* The order of a distribution's categories: fixed once seen, for as long as the watch (and the rollout: it is stored) lives, because
 * evidence is kept by position. Classes that appear later are appended; those beyond the places there are count together in the last one.
 * A histogram's buckets never change: other edges are an error. Pure. */
#ifndef GATES_SOURCES_CATEGORIES_H
#define GATES_SOURCES_CATEGORIES_H

#include "base/json.h"
#include "gates/sources/samples.h"

#define CATEGORIES_NAMES_MAX 1024 /* classes that are remembered by name */
#define CATEGORY_NAME_MAX 256     /* bytes of each: they are stored with the rollout, at every turn */

struct category_order;
struct category_order *category_order_new(void);
void category_order_free(struct category_order *order);
size_t category_order_count(const struct category_order *order);
const char *category_order_name(const struct category_order *order, size_t i);
/* The place of a name: min(i, MEASURE_CATEGORIES - 1), or -1. */
int category_order_place(const struct category_order *order, const char *name);
/* Takes in what both arms have: new classes are appended in alphabetical order, buckets in the order of their edges.
 * INVALID: buckets that are not those of before, or not the same in both arms; classes and buckets mixed. TOO_LARGE: too many classes, or one with
 * a name longer than CATEGORY_NAME_MAX. Then nothing is taken in. */
int category_order_take(struct category_order *order, const struct arm_samples arms[2], struct error **err) must_check;
json_t *category_order_to_json(const struct category_order *order);
int category_order_from_json(struct category_order *order, const json_t *names, struct error **err) must_check;
#endif
