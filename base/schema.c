#include "base/schema.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/utf8.h"

const struct schema schema_any = {.type = SCHEMA_ANY};
const struct schema schema_string = {.type = SCHEMA_STRING};
const struct schema schema_name = {.type = SCHEMA_NAME};
const struct schema schema_path = {.type = SCHEMA_PATH};
const struct schema schema_glob = {.type = SCHEMA_GLOB};
const struct schema schema_bool = {.type = SCHEMA_BOOL};
const struct schema schema_integer = {.type = SCHEMA_INTEGER};
const struct schema schema_number = {.type = SCHEMA_NUMBER};
const struct schema schema_duration = {.type = SCHEMA_DURATION};
const struct schema schema_size = {.type = SCHEMA_SIZE};
const struct schema schema_fraction = {.type = SCHEMA_FRACTION};
const struct schema schema_string_list = {.type = SCHEMA_LIST, .item = &schema_string, .scalar_is_list = true};
const struct schema schema_path_list = {.type = SCHEMA_LIST, .item = &schema_path, .scalar_is_list = true};
const struct schema schema_glob_list = {.type = SCHEMA_LIST, .item = &schema_glob, .scalar_is_list = true};
const struct schema schema_string_map = {.type = SCHEMA_MAP, .item = &schema_string};

#define NAME_MAX_BYTES 63

/* What a message calls the node: "timeout", an item of "needs", a key of "env", or the whole. */
struct place {
	enum { THE_WHOLE, NAMED, AN_ITEM_OF, A_KEY_OF } as;
	const char *name;
};

/* What is being expected, in the singular, as it stands in a message. */
static const char *const expectations[] = {
	[SCHEMA_ANY] = "anything",
	[SCHEMA_STRING] = "text",
	[SCHEMA_NAME] = "a name (letters, digits, \"_\", \".\" and \"-\", starting with a letter or digit, at most 63)",
	[SCHEMA_PATH] = "a relative path without \"..\"",
	[SCHEMA_GLOB] = "a relative pattern without \"..\"",
	[SCHEMA_BOOL] = "true or false",
	[SCHEMA_INTEGER] = "a whole number",
	[SCHEMA_NUMBER] = "a number",
	[SCHEMA_DURATION] = "a duration such as 90s, 15m, 2h or 3d",
	[SCHEMA_SIZE] = "a size such as 512Mi, 4Gi or 10M",
	[SCHEMA_FRACTION] = "a fraction such as 5% or 0.05",
	[SCHEMA_ENUM] = NULL,
	[SCHEMA_LIST] = "a list",
	[SCHEMA_MAP] = "a mapping",
	[SCHEMA_STRUCT] = "a mapping",
	[SCHEMA_EITHER] = NULL,
};

#define SHOWN_CHARACTERS 40

/* The text in quotes, cut to something that fits into a message. */
static char *quoted(const char *text)
{
	size_t len = strlen(text), n = 0, characters = 0;
	while (n < len && characters < SHOWN_CHARACTERS) {
		uint32_t c;
		size_t step = utf8_decode(text + n, len - n, &c);
		n += step ? step : 1;
		characters++;
	}
	return xasprintf("\"%.*s%s\"", (int)n, text, n < len ? "..." : "");
}

static char *describe_place(const struct place *place)
{
	static const char *const before[] = {[THE_WHOLE] = "this", [NAMED] = "", [AN_ITEM_OF] = "an item of ", [A_KEY_OF] = "a key of "};
	cleanup_free char *name = place->name ? quoted(place->name) : NULL;
	if (!name && (place->as == AN_ITEM_OF || place->as == A_KEY_OF))
		return xstrdup(place->as == AN_ITEM_OF ? "an item" : "a key");
	return xasprintf("%s%s", before[place->as], place->as == THE_WHOLE || !name ? "" : name);
}

static char *describe_node(const struct yaml_node *node)
{
	switch (node->kind) {
	case YAML_NULL:
		return xstrdup("empty");
	case YAML_SCALAR:
		return quoted(node->text);
	case YAML_SEQUENCE:
		return xstrdup("a list");
	case YAML_MAPPING:
		return xstrdup("a mapping");
	}
	return NULL;
}

static size_t count_choices(const struct schema *schema)
{
	size_t n = 0;
	while (schema->choices[n])
		n++;
	return n;
}

/* "one of a, b or c" */
static char *describe_choices(const struct schema *schema)
{
	struct buf text;
	buf_init(&text, 4096);
	size_t n = count_choices(schema);
	buf_adds(&text, n > 1 ? "one of " : "");
	for (size_t i = 0; i < n; i++)
		buf_addf(&text, "%s%s", i == 0 ? "" : i + 1 == n ? " or " : ", ", schema->choices[i]);
	return buf_steal(&text);
}

static char *describe_expected(const struct schema *schema)
{
	if (schema->type == SCHEMA_ENUM)
		return describe_choices(schema);
	if (schema->type != SCHEMA_EITHER) {
		cleanup_free char *item = NULL;
		if (schema->type == SCHEMA_LIST && schema->scalar_is_list && schema->item)
			item = describe_expected(schema->item);
		return item ? xasprintf("%s, or a list of such", item) : xstrdup(expectations[schema->type]);
	}
	cleanup_free char *scalar = schema->scalar ? describe_expected(schema->scalar) : NULL;
	const char *forms[3];
	size_t n = 0;
	if (scalar)
		forms[n++] = scalar;
	if (schema->list)
		forms[n++] = "a list";
	if (schema->mapping)
		forms[n++] = "a mapping";
	if (n == 3)
		return xasprintf("%s, %s or %s", forms[0], forms[1], forms[2]);
	return n == 2 ? xasprintf("%s or %s", forms[0], forms[1]) : xstrdup(n ? forms[0] : "nothing");
}

static void tell_wrong(const struct schema *schema, const struct yaml_node *node, const struct place *place, const char *code,
		       const char *hint, struct diag_list *diags)
{
	cleanup_free char *where = describe_place(place), *expected = describe_expected(schema), *found = describe_node(node);
	yaml_error(diags, node, code, hint, "%s must be %s, not %s", where, expected, found);
}

/* ---- scalars ---- */

static bool is_name(const char *text)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	size_t len = strspn(text, letters);
	return len > 0 && len <= NAME_MAX_BYTES && !text[len] && !strchr("_.-", text[0]);
}

/* path_is_inside(), but a directory may be written as "model/". */
static bool is_inside(const char *path)
{
	size_t len = strlen(path);
	cleanup_free char *bare = xstrndup(path, len > 1 && path[len - 1] == '/' ? len - 1 : len);
	return path_is_inside(bare);
}

static bool has_form(const struct schema *schema, const struct yaml_node *node)
{
	union {
		bool truth;
		int64_t integer;
		uint64_t amount;
		double number;
	} ignored;
	switch (schema->type) {
	case SCHEMA_STRING:
		return true;
	case SCHEMA_NAME:
		return is_name(node->text);
	case SCHEMA_PATH:
		return is_inside(node->text);
	case SCHEMA_GLOB:
		return is_inside(node->text + (node->text[0] == '!'));
	case SCHEMA_BOOL:
		return yaml_bool(node, &ignored.truth);
	case SCHEMA_INTEGER:
		return yaml_int(node, &ignored.integer);
	case SCHEMA_NUMBER:
		return yaml_number(node, &ignored.number);
	case SCHEMA_DURATION:
		return yaml_duration_ms(node, &ignored.amount);
	case SCHEMA_SIZE:
		return yaml_size_bytes(node, &ignored.amount);
	case SCHEMA_FRACTION:
		return yaml_fraction(node, &ignored.number);
	case SCHEMA_ENUM:
		for (size_t i = 0; schema->choices[i]; i++)
			if (strcmp(schema->choices[i], node->text) == 0)
				return true;
		return false;
	case SCHEMA_ANY:
	case SCHEMA_LIST:
	case SCHEMA_MAP:
	case SCHEMA_STRUCT:
	case SCHEMA_EITHER:
		break;
	}
	return false;
}

/* The same scalar as it would be with other text or without its quotes. */
static struct yaml_node variant(const char *text)
{
	return (struct yaml_node){.kind = YAML_SCALAR, .text = text};
}

/* What was probably meant; allocated, or NULL. */
static char *suggest(const struct schema *schema, const struct yaml_node *node)
{
	static const struct {
		const char *other, *word;
	} truths[] = {{"yes", "true"}, {"on", "true"}, {"1", "true"}, {"no", "false"}, {"off", "false"}, {"0", "false"}};
	struct yaml_node bare = variant(node->text);
	if (node->quoted && has_form(schema, &bare))
		return xstrdup("remove the quotes");
	if (schema->type == SCHEMA_ENUM) {
		const char *near = nearest_word(node->text, schema->choices, count_choices(schema));
		return near ? xasprintf("did you mean \"%s\"?", near) : NULL;
	}
	for (size_t i = 0; schema->type == SCHEMA_BOOL && i < ARRAY_SIZE(truths); i++)
		if (strcasecmp(node->text, truths[i].other) == 0)
			return xasprintf("did you mean %s?", truths[i].word);
	int64_t number;
	if ((schema->type == SCHEMA_DURATION || schema->type == SCHEMA_SIZE) && yaml_int(&bare, &number) && number >= 0)
		return xasprintf("add a unit: did you mean %s%s?", node->text, schema->type == SCHEMA_SIZE ? "Mi" : "s");
	if ((schema->type == SCHEMA_PATH || schema->type == SCHEMA_GLOB) && strncmp(node->text, "./", 2) == 0) {
		struct yaml_node without = variant(node->text + 2);
		if (has_form(schema, &without))
			return xasprintf("did you mean \"%s\"?", without.text);
	}
	return NULL;
}

static const char *code_of_type(enum schema_type type)
{
	switch (type) {
	case SCHEMA_NAME:
		return "bad-name";
	case SCHEMA_PATH:
	case SCHEMA_GLOB:
		return "bad-path";
	case SCHEMA_ENUM:
		return "unknown-value";
	case SCHEMA_ANY:
	case SCHEMA_STRING:
	case SCHEMA_BOOL:
	case SCHEMA_INTEGER:
	case SCHEMA_NUMBER:
	case SCHEMA_DURATION:
	case SCHEMA_SIZE:
	case SCHEMA_FRACTION:
	case SCHEMA_LIST:
	case SCHEMA_MAP:
	case SCHEMA_STRUCT:
	case SCHEMA_EITHER:
		break;
	}
	return "wrong-type";
}

static void check_range(const struct schema *schema, const struct yaml_node *node, const struct place *place,
			struct diag_list *diags)
{
	double value = 0;
	int64_t integer;
	double min = schema->min, max = schema->max;
	bool has_min = schema->has_min, has_max = schema->has_max;
	if (schema->type == SCHEMA_INTEGER && yaml_int(node, &integer))
		value = (double)integer;
	else if (schema->type == SCHEMA_NUMBER)
		(void)yaml_number(node, &value);
	else if (schema->type == SCHEMA_FRACTION)
		(void)yaml_fraction(node, &value);
	else
		return;
	const char *hint = NULL;
	cleanup_free char *percent = NULL;
	if (schema->type == SCHEMA_FRACTION && !has_min && !has_max) {
		/* A bare 5 is nearly always meant as 5%. */
		has_min = has_max = true;
		max = 1;
		if (value > 1 && value <= 100 && !strchr(node->text, '%'))
			hint = percent = xasprintf("did you mean %s%%?", node->text);
	}
	bool low = has_min && value < min;
	if (!low && !(has_max && value > max))
		return;
	cleanup_free char *where = describe_place(place), *found = quoted(node->text);
	yaml_error(diags, node, "out-of-range", hint, "%s must be %s %.15g, not %.*s", where, low ? "at least" : "at most", low ? min : max,
		   (int)strlen(found) - 2, found + 1);
}

static void check_scalar(const struct schema *schema, const struct yaml_node *node, const struct place *place,
			 struct diag_list *diags)
{
	if (node->kind != YAML_SCALAR) {
		tell_wrong(schema, node, place, "wrong-type", NULL, diags);
	} else if (!has_form(schema, node)) {
		cleanup_free char *hint = suggest(schema, node);
		tell_wrong(schema, node, place, code_of_type(schema->type), hint, diags);
	} else {
		check_range(schema, node, place, diags);
	}
}

/* ---- collections ---- */

static void check(const struct schema *schema, const struct yaml_node *node, const struct place *place, struct diag_list *diags);

static void check_amount(const struct schema *schema, const struct yaml_node *node, const struct place *place,
			 struct diag_list *diags)
{
	double n = (double)node->n;
	bool low = schema->has_min && n < schema->min;
	if (!low && !(schema->has_max && n > schema->max))
		return;
	double bound = low ? schema->min : schema->max;
	cleanup_free char *where = describe_place(place);
	yaml_error(diags, node, "out-of-range", NULL, "%s must have at %s %.15g %s%s, not %zu", where, low ? "least" : "most", bound,
		   schema->type == SCHEMA_LIST ? "item" : "key", bound == 1 ? "" : "s", node->n);
}

static void check_list(const struct schema *schema, const struct yaml_node *node, const struct place *place,
		       struct diag_list *diags)
{
	if (node->kind == YAML_SCALAR && schema->scalar_is_list && schema->item) {
		check(schema->item, node, place, diags);
		return;
	}
	if (node->kind != YAML_SEQUENCE) {
		tell_wrong(schema, node, place, "wrong-type", NULL, diags);
		return;
	}
	check_amount(schema, node, place, diags);
	struct place item = {AN_ITEM_OF, place->name};
	for (size_t i = 0; schema->item && i < node->n; i++)
		check(schema->item, node->values[i], &item, diags);
}

static void check_map(const struct schema *schema, const struct yaml_node *node, const struct place *place,
		      struct diag_list *diags)
{
	if (node->kind != YAML_MAPPING && node->kind != YAML_NULL) {
		tell_wrong(schema, node, place, "wrong-type", NULL, diags);
		return;
	}
	check_amount(schema, node, place, diags);
	struct place key = {A_KEY_OF, place->name};
	for (size_t i = 0; i < node->n; i++) {
		if (schema->key)
			check(schema->key, node->keys[i], &key, diags);
		if (schema->item)
			check(schema->item, node->values[i], &(struct place){NAMED, node->keys[i]->text}, diags);
	}
}

static const struct schema_field *find_field(const struct schema *schema, const char *key)
{
	for (const struct schema_field *field = schema->fields; field && field->name; field++)
		if (strcmp(field->name, key) == 0 || (field->alias && strcmp(field->alias, key) == 0))
			return field;
	return NULL;
}

static void tell_unknown_key(const struct schema *schema, const struct yaml_node *key, const struct place *place,
			     struct diag_list *diags)
{
	struct strlist names = {0};
	for (const struct schema_field *field = schema->fields; field && field->name; field++) {
		strlist_add(&names, field->name);
		if (field->alias)
			strlist_add(&names, field->alias);
	}
	const char *near = nearest_word(key->text, strlist_items(&names), names.n);
	cleanup_buf struct buf hint;
	buf_init(&hint, 64 * 1024);
	if (near)
		buf_addf(&hint, "did you mean \"%s\"?", near);
	for (const struct schema_field *field = schema->fields; !near && field && field->name; field++)
		buf_addf(&hint, "%s%s", hint.len ? ", " : "known keys: ", field->name);
	cleanup_free char *name = quoted(key->text), *in = place->as == THE_WHOLE ? NULL : describe_place(place);
	yaml_error(diags, key, "unknown-key", hint.len ? hint.data : NULL, "unknown key %s%s%s", name, in ? " in " : "", in ? in : "");
	strlist_done(&names);
}

static void check_struct(const struct schema *schema, const struct yaml_node *node, const struct place *place,
			 struct diag_list *diags)
{
	if (node->kind != YAML_MAPPING && node->kind != YAML_NULL) {
		tell_wrong(schema, node, place, "wrong-type", NULL, diags);
		return;
	}
	for (size_t i = 0; i < node->n; i++) {
		const struct schema_field *field = find_field(schema, node->keys[i]->text);
		if (!field)
			tell_unknown_key(schema, node->keys[i], place, diags);
		else if (field->schema)
			check(field->schema, node->values[i], &(struct place){NAMED, field->name}, diags);
	}
	for (const struct schema_field *field = schema->fields; field && field->name; field++) {
		const struct yaml_node *own = yaml_get_key(node, field->name);
		const struct yaml_node *other = field->alias ? yaml_get_key(node, field->alias) : NULL;
		if (own && other)
			yaml_error(diags, other, "duplicate-key", NULL, "\"%s\" is another name of \"%s\", which is at line %u", field->alias,
				   field->name, own->line);
		if (!own && !other && field->required) {
			cleanup_free char *in = place->as == THE_WHOLE ? NULL : describe_place(place);
			yaml_error(diags, node, "missing-key", NULL, "the key \"%s\" is missing%s%s", field->name, in ? " in " : "",
				   in ? in : "");
		}
	}
}

static void check_either(const struct schema *schema, const struct yaml_node *node, const struct place *place,
			 struct diag_list *diags)
{
	const struct schema *chosen = NULL;
	switch (node->kind) {
	case YAML_NULL: /* an empty mapping, if one may stand here */
		chosen = schema->mapping ? schema->mapping : schema->scalar ? schema->scalar : schema->list;
		break;
	case YAML_SCALAR:
		chosen = schema->scalar;
		break;
	case YAML_SEQUENCE:
		chosen = schema->list;
		break;
	case YAML_MAPPING:
		chosen = schema->mapping;
		break;
	}
	if (chosen)
		check(chosen, node, place, diags);
	else
		tell_wrong(schema, node, place, "wrong-type", NULL, diags);
}

static void check(const struct schema *schema, const struct yaml_node *node, const struct place *place,
		  struct diag_list *diags)
{
	size_t before = diag_errors(diags);
	switch (schema->type) {
	case SCHEMA_ANY:
		break;
	case SCHEMA_LIST:
		check_list(schema, node, place, diags);
		break;
	case SCHEMA_MAP:
		check_map(schema, node, place, diags);
		break;
	case SCHEMA_STRUCT:
		check_struct(schema, node, place, diags);
		break;
	case SCHEMA_EITHER:
		check_either(schema, node, place, diags);
		break;
	case SCHEMA_STRING:
	case SCHEMA_NAME:
	case SCHEMA_PATH:
	case SCHEMA_GLOB:
	case SCHEMA_BOOL:
	case SCHEMA_INTEGER:
	case SCHEMA_NUMBER:
	case SCHEMA_DURATION:
	case SCHEMA_SIZE:
	case SCHEMA_FRACTION:
	case SCHEMA_ENUM:
		check_scalar(schema, node, place, diags);
		break;
	}
	if (schema->check && diag_errors(diags) == before)
		schema->check(node, diags);
}

bool schema_check(const struct schema *schema, const struct yaml_node *node, struct diag_list *diags)
{
	size_t before = diag_errors(diags);
	check(schema, node, &(struct place){THE_WHOLE, NULL}, diags);
	return diag_errors(diags) == before;
}

const struct yaml_node *schema_get(const struct schema *schema, const struct yaml_node *node, const char *field)
{
	if (schema->type == SCHEMA_EITHER && schema->mapping)
		schema = schema->mapping;
	const struct yaml_node *value = yaml_get(node, field);
	const struct schema_field *known = value ? NULL : find_field(schema, field);
	if (!known)
		return value;
	value = yaml_get(node, known->name);
	return value || !known->alias ? value : yaml_get(node, known->alias);
}
