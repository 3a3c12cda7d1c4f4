/* Bodies are checked when the file is parsed, though `${{ inputs.x }}` and `${{ git.sha }}` are known only when a run starts: until
 * then a complaint about the type of such a scalar means nothing. plan.c checks again after filling. */
#include "pipelines/parse_priv.h"

#include "base/alloc.h"

#include <string.h>

struct places {
	struct { unsigned line, column; } *items;
	size_t n, capacity;
};

static void collect(const struct yaml_node *node, struct places *places)
{
	if (node->kind == YAML_SCALAR && has_placeholder(node->text)) {
		places->items = xgrow(places->items, &places->capacity, places->n + 1, sizeof(*places->items));
		places->items[places->n].line = node->line;
		places->items[places->n++].column = node->column;
	}
	for (size_t i = 0; (node->kind == YAML_SEQUENCE || node->kind == YAML_MAPPING) && i < node->n; i++)
		collect(node->values[i], places);
}

static bool is_among(const struct places *places, const struct diag *diag)
{
	for (size_t i = 0; i < places->n; i++) {
		if (places->items[i].line == diag->line && places->items[i].column == diag->column)
			return true;
	}
	return false;
}

/* Adds what is not about a scalar that is still to be filled; true if nothing was left. */
static bool keep_certain(const struct yaml_node *node, const struct diag_list *found, struct diag_list *diags)
{
	cleanup_diags struct diag_list *certain = diag_list_new();
	struct places places = {0};

	if (diag_count(found) > 0)
		collect(node, &places);
	for (size_t i = 0; i < diag_count(found); i++) {
		if (!is_among(&places, diag_at(found, i)))
			diag_add(certain, diag_at(found, i));
	}
	free(places.items);
	diags_merge(diags, certain);
	return diag_errors(certain) == 0;
}

/* As the one field of a mapping, so that messages call it by its name. */
bool check_named(const struct schema *schema, const struct yaml_node *key, const struct yaml_node *node, struct diag_list *diags)
{
	const struct schema_field fields[] = {{.name = key->text, .schema = schema}, {.name = NULL}};
	const struct schema one = {SCHEMA_STRUCT, .fields = fields};
	struct yaml_node *keys[] = {(struct yaml_node *)(uintptr_t)key}, *values[] = {(struct yaml_node *)(uintptr_t)node};
	const struct yaml_node pair = {.kind = YAML_MAPPING, .file = key->file, .line = key->line, .column = key->column, .n = 1,
				       .keys = keys, .values = values};

	return schema_check(&one, &pair, diags);
}

bool check_body(const struct schema *schema, const struct yaml_node *key, const struct yaml_node *node, struct diag_list *diags)
{
	cleanup_diags struct diag_list *found = diag_list_new();

	if (key)
		check_named(schema, key, node, found);
	else
		schema_check(schema, node, found);
	return keep_certain(node, found, diags);
}

void check_kind(const struct pipeline *pipeline, const struct stage *stage, struct diag_list *diags)
{
	cleanup_diags struct diag_list *found = diag_list_new();

	if (!stage->kind_row->check)
		return;
	stage->kind_row->check(pipeline, stage, found);
	keep_certain(stage->body, found, diags);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

void diags_merge(struct diag_list *to, const struct diag_list *from)
{
	for (size_t i = 0; i < diag_count(from); i++) {
		const struct diag *diag = diag_at(from, i);
		size_t low = 0, high = diag_count(to);
		bool known = false;

		while (low < high) { /* both are sorted by place, and of one file */
			size_t middle = low + (high - low) / 2;
			const struct diag *other = diag_at(to, middle);

			if (other->line < diag->line || (other->line == diag->line && other->column < diag->column))
				low = middle + 1;
			else
				high = middle;
		}
		for (; low < diag_count(to) && diag_at(to, low)->line == diag->line && diag_at(to, low)->column == diag->column; low++)
			known = known || (same_text(diag_at(to, low)->message, diag->message) &&
					  same_text(diag_at(to, low)->file, diag->file));
		if (!known)
			diag_add(to, diag);
	}
}
