/* Inside base/yaml*.c only: what the two ways of building a tree share. */
#ifndef BASE_YAML_PRIV_H
#define BASE_YAML_PRIV_H

#include "base/arena.h"
#include "base/yaml.h"

/* Where character number i of a text is: lines end at "\n", columns count characters. */
struct line_table {
	size_t *starts; /* character number of each line's first character */
	size_t n, capacity;
};
void line_table_init(struct line_table *lines, const char *text, size_t len);
void line_table_done(struct line_table *lines);
void line_table_find(const struct line_table *lines, size_t character, unsigned *ret_line, unsigned *ret_column);

struct builder {
	struct arena *arena;
	const char *file; /* in the arena */
	const char *text;
	size_t len;
	struct diag_list *diags;
	struct line_table lines;
	size_t nodes; /* after alias expansion */
	bool failed;  /* nothing more can be read; a diagnostic tells why */
};

/* The items of a sequence, or keys and values of a mapping, while they are being collected. */
struct items {
	struct yaml_node **keys, **values;
	size_t n, capacity, values_capacity;
};
void items_add(struct items *items, struct yaml_node *key, struct yaml_node *value);
/* Moves them into the node, in the arena. */
void items_finish(struct builder *b, struct items *items, struct yaml_node *node);

/* A node from character `start` up to `end` (exclusive); end <= start or in another line: end_column 0. */
struct yaml_node *builder_node(struct builder *b, enum yaml_kind kind, size_t start, size_t end);
void builder_end(struct builder *b, struct yaml_node *node, size_t start, size_t end);
/* False, with a diagnostic and b->failed set, when the tree has become too large or too deep at `at`. */
bool builder_count(struct builder *b, size_t nodes, size_t depth, const struct yaml_node *at);
bool text_is_null(const char *text); /* "", ~, null, Null, NULL */

/* The root of a text that is JSON in the strict sense; NULL if it is not, or if it goes beyond a limit (then b->failed is set). */
struct yaml_node *yaml_build_json(struct builder *b);
#endif
