/* Declarative schemas over YAML trees. A kind (stage, target, metric source) brings one as const data; checking, help texts
 * and the manual read the same table.
 *
 *     static const struct schema_field health_fields[] = {
 *             {"path", &schema_string, .doc = "HTTP path that answers 2xx when ready", .fallback = "/healthz"},
 *             {"within", &schema_duration, .doc = "give up after this long", .fallback = "30s"},
 *             {.name = NULL}};
 *     const struct schema health_schema = {.type = SCHEMA_STRUCT, .fields = health_fields};
 */
#ifndef BASE_SCHEMA_H
#define BASE_SCHEMA_H

#include "base/yaml.h"

enum schema_type {
	SCHEMA_ANY,
	SCHEMA_STRING,
	SCHEMA_NAME,     /* [A-Za-z0-9][A-Za-z0-9_.-]*, at most 63 bytes */
	SCHEMA_PATH,     /* path_is_inside(), optionally a trailing "/" */
	SCHEMA_GLOB,     /* a relative pattern; "**", leading "!" */
	SCHEMA_BOOL,
	SCHEMA_INTEGER,
	SCHEMA_NUMBER,
	SCHEMA_DURATION, /* a bare number is an error: units are needed */
	SCHEMA_SIZE,
	SCHEMA_FRACTION, /* "5%" or 0.05; 0 to 1 unless has_min or has_max say otherwise */
	SCHEMA_ENUM,     /* choices */
	SCHEMA_LIST,     /* of item; a lone scalar stands for a list of one if scalar_is_list */
	SCHEMA_MAP,      /* free keys (checked as key), values as item; nothing at all (`env:`) is an empty mapping */
	SCHEMA_STRUCT,   /* fields; nothing at all (`push:`) is an empty mapping */
	SCHEMA_EITHER,   /* by the node's form: scalar, list or mapping, each a schema or NULL; nothing at all counts as a mapping */
};

struct schema;
struct schema_field {
	const char *name;
	const struct schema *schema;
	bool required;
	const char *doc;
	const char *fallback; /* the default, as text for the manual; applying it is the reader's job */
	const char *alias;    /* another accepted spelling, or NULL */
};

struct schema {
	enum schema_type type;
	const char *doc;
	const struct schema_field *fields;           /* STRUCT; ends with a NULL name */
	const struct schema *item;                   /* LIST, MAP */
	const struct schema *key;                    /* MAP; NULL: any string */
	const char *const *choices;                  /* ENUM; NULL-terminated */
	bool scalar_is_list;                         /* LIST */
	const struct schema *scalar, *list, *mapping; /* EITHER */
	bool has_min, has_max;
	double min, max;                             /* INTEGER, NUMBER, FRACTION; LIST and MAP: number of items */
	/* Runs after the structure was found right; adds its own diagnostics. */
	void (*check)(const struct yaml_node *node, struct diag_list *diags);
};

extern const struct schema schema_any, schema_string, schema_name, schema_path, schema_glob, schema_bool, schema_integer, schema_number,
	schema_duration, schema_size, schema_fraction, schema_string_list /* scalar_is_list */, schema_path_list, schema_glob_list,
	schema_string_map;

/* Adds a diagnostic for each mistake (unknown key with a suggestion, wrong type, missing field ...); true if there was none. */
bool schema_check(const struct schema *schema, const struct yaml_node *node, struct diag_list *diags);
/* yaml_get() that also tries the field's alias. */
const struct yaml_node *schema_get(const struct schema *schema, const struct yaml_node *node, const char *field);
#endif
