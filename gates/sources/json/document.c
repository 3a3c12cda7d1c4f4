#include "gates/sources/json/document.h"

#include "base/alloc.h"
#include "gates/sources/template.h"

#include <math.h>
#include <string.h>

enum { POINTER_MAX = 4096 };

static const char *pointer_problem(const char *pointer)
{
	if (*pointer && *pointer != '/')
		return "a JSON pointer begins with \"/\"";
	for (const char *tilde = pointer; (tilde = strchr(tilde, '~')); tilde++)
		if (tilde[1] != '0' && tilde[1] != '1')
			return "in a JSON pointer \"~\" is written ~0, and \"/\" within a name ~1";
	return NULL;
}

/* One part between slashes, unescaped. Owned by the caller. */
static char *take_part(const char **at)
{
	size_t len = strcspn(*at, "/"), n = 0;
	char *part = xcalloc(len + 1, 1);

	for (size_t i = 0; i < len; i++) {
		char c = (*at)[i];
		if (c == '~')
			c = (*at)[++i] == '1' ? '/' : '~';
		part[n++] = c;
	}
	*at += len;
	return part;
}

/* "0", "12": no sign, no leading zero. */
static const json_t *list_item(const json_t *list, const char *part)
{
	size_t index = 0;

	if (!*part || strlen(part) > 9 || (part[0] == '0' && part[1]))
		return NULL;
	for (const char *c = part; *c; c++) {
		if (*c < '0' || *c > '9')
			return NULL;
		index = 10 * index + (size_t)(*c - '0');
	}
	return json_array_get(list, index);
}

int json_pointer(const json_t *document, const char *pointer, const json_t **ret, struct error **err)
{
	const char *at = pointer, *problem = pointer_problem(pointer);

	if (problem)
		return error_set(err, ERROR_INVALID, 0, "\"%s\": %s", pointer, problem);
	while (*at) {
		at++;
		cleanup_free char *part = take_part(&at);
		const json_t *next = json_is_array(document) ? list_item(document, part) : json_object_get(document, part);
		if (!next)
			return error_set(err, ERROR_NOT_FOUND, 0, "the document has nothing at \"%.*s\"", (int)(at - pointer), pointer);
		document = next;
	}
	*ret = document;
	return 0;
}

static const char *check_pointer(const char *what, const char *pointer, bool shared, char *space, size_t size)
{
	cleanup_error struct error *err = NULL;
	unsigned names = 0;

	if (!pointer)
		return NULL;
	const char *problem = pointer_problem(pointer);
	if (problem)
		snprintf(space, size, "%s: \"%.200s\": %s", what, pointer, problem);
	else if (template_names(pointer, &names, &err) < 0)
		snprintf(space, size, "%s: %s", what, error_message(err));
	else if (names & TEMPLATE_OF_SPAN)
		snprintf(space, size, "%s: the span belongs into the source's address or arguments, not into a pointer", what);
	else if (shared && !(names & TEMPLATE_OF_ARM))
		snprintf(space, size, "%s: \"%.200s\" is the same number for both arms; write {{arm}} or {{version}} into the pointer", what,
			 pointer);
	else
		return NULL;
	return space;
}

const char *document_check(const struct analysis_metric *metric, bool shared, char *space, size_t size)
{
	const struct {
		const char *what, *pointer;
	} parts[] = {{"events", metric->events}, {"total", metric->total}, {"distribution", metric->distribution}, {"value", metric->value}};

	if (metric->by)
		return "`by` has no meaning here: `distribution` points at a mapping from classes to counts, or at a list of counts";
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		const char *problem = check_pointer(parts[i].what, parts[i].pointer, shared, space, size);
		if (problem)
			return problem;
	}
	return NULL;
}

static const char *type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "a mapping";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "unknown";
}

static int add_number(const json_t *value, struct sample *sample, struct arm_samples *samples, struct error **err)
{
	if (!json_is_number(value) && !json_is_null(value))
		return error_set(err, ERROR_INVALID, 0, "%s is %s, not a number", sample->series, type_name(value));
	sample->group = "";
	sample->value = json_is_null(value) ? (double)NAN : json_number_value(value);
	return arm_samples_add(samples, sample, err);
}

static int add_distribution(const json_t *value, const char *pointer, struct arm_samples *samples, struct error **err)
{
	const char *name;
	json_t *count;
	size_t i;

	if (json_is_object(value)) {
		json_object_foreach((json_t *)(uintptr_t)value, name, count)
		{
			struct sample sample = {.role = SAMPLE_COUNT, .category = name, .edge = (double)NAN};
			sample.series = arena_printf(samples->arena, "%s/%s", pointer, name);
			if (add_number(count, &sample, samples, err) < 0)
				return -1;
		}
		return 0;
	}
	if (!json_is_array(value))
		return error_set(err, ERROR_INVALID, 0, "%s is %s; a mapping from classes to counts, or a list of counts is needed", pointer,
				 type_name(value));
	json_array_foreach(value, i, count)
	{
		struct sample sample = {.role = SAMPLE_COUNT, .edge = (double)i};
		sample.category = arena_printf(samples->arena, "%zu", i);
		sample.series = arena_printf(samples->arena, "%s/%zu", pointer, i);
		if (add_number(count, &sample, samples, err) < 0)
			return -1;
	}
	return 0;
}

static int add_values(const json_t *value, const char *pointer, struct arm_samples *samples, struct error **err)
{
	struct sample sample = {.role = SAMPLE_VALUE, .series = pointer, .edge = (double)NAN};
	const json_t *item;
	size_t i;

	if (!json_is_array(value))
		return add_number(value, &sample, samples, err);
	if (!samples->windowed) /* the same observations would be counted again at each reading */
		return error_set(err, ERROR_INVALID, 0,
				 "%s is a list; observations in lists need {{window}}, or {{from}} and {{to}}, in the source's address or arguments",
				 pointer);
	json_array_foreach(value, i, item) if (add_number(item, &sample, samples, err) < 0) return -1;
	return 0;
}

static int take_role(const json_t *document, enum sample_role role, const char *text, const struct source_arm *arm, const struct source_span *span,
		     struct arm_samples *samples, struct error **err)
{
	struct buf pointer cleanup_buf;
	const json_t *value;

	buf_init(&pointer, POINTER_MAX);
	if (template_expand(text, arm, span, TEMPLATE_POINTER, &pointer, err) < 0 || json_pointer(document, pointer.data, &value, err) < 0)
		return -1;
	const char *series = arena_strdup(samples->arena, pointer.len ? pointer.data : "the document");
	struct sample sample = {.role = role, .series = series, .edge = (double)NAN};
	switch (role) {
	case SAMPLE_EVENTS:
	case SAMPLE_TOTAL:
		return add_number(value, &sample, samples, err);
	case SAMPLE_COUNT:
		return add_distribution(value, series, samples, err);
	case SAMPLE_VALUE:
		return add_values(value, series, samples, err);
	}
	return 0;
}

int document_take(const json_t *document, const struct analysis_metric *metric, const struct source_arm *arm, const struct source_span *span,
		  struct arm_samples *samples, struct error **err)
{
	const struct {
		enum sample_role role;
		const char *name, *text;
	} parts[] = {{SAMPLE_EVENTS, "events", metric->events},
		     {SAMPLE_TOTAL, "total", metric->total},
		     {SAMPLE_COUNT, "distribution", metric->distribution},
		     {SAMPLE_VALUE, "value", metric->value}};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (parts[i].text && take_role(document, parts[i].role, parts[i].text, arm, span, samples, err) < 0)
			return error_context(err, "%s: %s", arm->name, parts[i].name);
	return 0;
}
