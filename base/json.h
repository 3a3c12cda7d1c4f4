/* JSON, through jansson only. This adds what jansson leaves out: limits, our errors, scoped references, and getters whose
 * messages name the key. Duplicate keys are refused on load. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/cleanup.h"

#include <jansson.h>
#include <stdint.h>

static inline void json_decref_scoped(json_t **json)
{
	json_decref(*json);
}
#define cleanup_json CLEANUP(json_decref)

int json_parse(const char *text, size_t len, json_t **ret, struct error **err) must_check;
int json_read(const char *path, size_t max_bytes, json_t **ret, struct error **err) must_check;
/* Sorted keys, compact: the same value gives the same bytes. Allocated, NUL-terminated. */
char *json_text(const json_t *json);
/* Sorted keys, indented by two; ends with a newline. */
char *json_text_pretty(const json_t *json);

/* Getters for objects that must have the key with that type; on failure INVALID "key \"x\": expected a string". */
int json_need_string(const json_t *object, const char *key, const char **ret, struct error **err) must_check;
int json_need_int(const json_t *object, const char *key, int64_t *ret, struct error **err) must_check;
/* Lenient getters with a default. */
const char *json_string_or(const json_t *object, const char *key, const char *fallback);
int64_t json_int_or(const json_t *object, const char *key, int64_t fallback);
double json_number_or(const json_t *object, const char *key, double fallback);
bool json_bool_or(const json_t *object, const char *key, bool fallback);
#endif
