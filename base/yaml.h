/* YAML trees with positions, built from libyaml's events. YAML 1.2 core: only true/false are booleans; `on`, `yes`, `no` are
 * strings. Anchors and aliases are resolved under limits; duplicate keys, tags, several documents and non-scalar keys are
 * diagnostics. JSON is accepted as the subset of YAML it is. Everything lives in the doc's arena.
 *
 *     struct yaml_doc *doc = yaml_parse(".penstock.yml", text, len, diags);   // NULL if it cannot be read at all
 *     const struct yaml_node *stages = yaml_get(yaml_root(doc), "stages");
 */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include "base/diag.h"

#include <stdint.h>

enum yaml_kind { YAML_NULL, YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
	enum yaml_kind kind;
	const char *file;
	unsigned line, column, end_column; /* as in struct diag */
	const char *text;                  /* SCALAR: NUL-free text */
	bool quoted;                       /* SCALAR: was quoted or a block scalar, so it is a string whatever it looks like */
	size_t n;                          /* SEQUENCE: items; MAPPING: pairs */
	struct yaml_node **keys;           /* MAPPING */
	struct yaml_node **values;         /* MAPPING values, SEQUENCE items */
};

#define YAML_MAX_BYTES (1024 * 1024)
#define YAML_MAX_DEPTH 64
#define YAML_MAX_NODES 100000 /* after alias expansion, so that "billion laughs" ends here */

struct yaml_doc;
struct yaml_doc *yaml_parse(const char *file, const char *text, size_t len, struct diag_list *diags);
void yaml_doc_free(struct yaml_doc *doc);
DEFINE_CLEANUP(struct yaml_doc, yaml_doc_free);
#define cleanup_yaml CLEANUP(yaml_doc_free)
const struct yaml_node *yaml_root(const struct yaml_doc *doc); /* a YAML_NULL node for an empty file */

/* A mapping's value, or NULL (also for NULL or non-mappings). */
const struct yaml_node *yaml_get(const struct yaml_node *node, const char *key);
const struct yaml_node *yaml_get_key(const struct yaml_node *node, const char *key); /* the key's own node, for positions */
/* Adds an error at a node. */
void yaml_error(struct diag_list *diags, const struct yaml_node *at, const char *code, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* Readers for scalars; each returns false if the node is NULL, not a scalar or malformed, leaving *ret untouched. */
bool yaml_bool(const struct yaml_node *node, bool *ret);
bool yaml_int(const struct yaml_node *node, int64_t *ret);
bool yaml_number(const struct yaml_node *node, double *ret);        /* finite decimal */
bool yaml_duration_ms(const struct yaml_node *node, uint64_t *ret); /* 250ms 90s 15m 2h 3d */
bool yaml_size_bytes(const struct yaml_node *node, uint64_t *ret);  /* 512Ki 4Gi 10M; powers of 1024 with i, of 1000 without */
bool yaml_fraction(const struct yaml_node *node, double *ret);      /* "5%" -> 0.05, "0.05" -> 0.05 */
const char *yaml_text(const struct yaml_node *node, const char *fallback);

/* Plain JSON of a subtree: unquoted true/false/null/numbers become typed, the rest strings. New reference. */
json_t *yaml_to_json(const struct yaml_node *node);
#endif
