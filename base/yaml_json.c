/* JSON that libyaml does not read (keys over 1,024 characters, surrogate pairs, a key and its colon on two lines).
 * jansson decides whether it is JSON and what the values are; the walk beside it only finds where they stand. */
#include "base/alloc.h"
#include "base/utf8.h"
#include "base/yaml_priv.h"

/* Where the walk is, in bytes and in characters. */
struct walk {
	struct builder *b;
	size_t byte, character;
	size_t depth;
};

static void step(struct walk *w)
{
	uint32_t c;
	size_t n = utf8_decode(w->b->text + w->byte, w->b->len - w->byte, &c);
	w->byte += n ? n : 1;
	w->character++;
}

static char here(const struct walk *w)
{
	return w->byte < w->b->len ? w->b->text[w->byte] : '\0';
}

/* Blanks, and the punctuation that is not part of a value. */
static void skip_between(struct walk *w)
{
	while (here(w) && strchr(" \t\r\n,:", here(w)))
		step(w);
}

/* From its opening quote to behind its closing one. */
static void skip_string(struct walk *w)
{
	step(w);
	while (here(w) && here(w) != '"') {
		if (here(w) == '\\')
			step(w);
		step(w);
	}
	step(w);
}

static struct yaml_node *build_string(struct walk *w, const char *text)
{
	size_t start = w->character;
	skip_string(w);
	struct yaml_node *node = builder_node(w->b, YAML_SCALAR, start, w->character);
	node->text = arena_strdup(w->b->arena, text);
	node->quoted = true;
	return node;
}

/* A number, true, false or null: as written. */
static struct yaml_node *build_plain(struct walk *w, const json_t *json)
{
	size_t start = w->character, byte = w->byte;
	while (here(w) && !strchr(" \t\r\n,:]}", here(w)))
		step(w);
	struct yaml_node *node = builder_node(w->b, json_is_null(json) ? YAML_NULL : YAML_SCALAR, start, w->character);
	if (node->kind == YAML_SCALAR)
		node->text = arena_strndup(w->b->arena, w->b->text + byte, w->byte - byte);
	return node;
}

static struct yaml_node *build(struct walk *w, json_t *json);

static struct yaml_node *build_collection(struct walk *w, json_t *json)
{
	size_t start = w->character;
	struct yaml_node *node = builder_node(w->b, json_is_array(json) ? YAML_SEQUENCE : YAML_MAPPING, start, start + 1);
	struct items items = {0};
	step(w);
	if (json_is_array(json)) {
		size_t i;
		json_t *item;
		json_array_foreach(json, i, item)
			items_add(&items, NULL, build(w, item));
	} else {
		const char *key;
		json_t *value;
		json_object_foreach(json, key, value) {
			skip_between(w);
			struct yaml_node *name = build_string(w, key);
			items_add(&items, name, build(w, value));
		}
	}
	skip_between(w);
	step(w);
	builder_end(w->b, node, start, w->character);
	items_finish(w->b, &items, node);
	return node;
}

static struct yaml_node *build(struct walk *w, json_t *json)
{
	struct yaml_node *node;
	skip_between(w);
	if (json_is_object(json) || json_is_array(json)) {
		struct yaml_node *at = builder_node(w->b, YAML_NULL, w->character, w->character + 1);
		w->depth++;
		node = builder_count(w->b, 1, w->depth, at) ? build_collection(w, json) : at;
		w->depth--;
	} else {
		node = json_is_string(json) ? build_string(w, json_string_value(json)) : build_plain(w, json);
		builder_count(w->b, 1, w->depth, node);
	}
	return node;
}

struct yaml_node *yaml_build_json(struct builder *b)
{
	size_t start = strspn(b->text, " \t\r\n");
	if (b->text[start] != '{' && b->text[start] != '[')
		return NULL;
	cleanup_json json_t *json = json_loadb(b->text, b->len, JSON_REJECT_DUPLICATES, NULL);
	if (!json)
		return NULL;
	struct walk walk = {.b = b};
	struct yaml_node *root = build(&walk, json);
	return b->failed ? NULL : root;
}
