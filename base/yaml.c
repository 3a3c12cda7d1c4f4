/* Trees from libyaml's events. */
#include "base/alloc.h"
#include "base/utf8.h"
#include "base/yaml_priv.h"

#include <stdint.h>
#include <yaml.h>

#define MAX_ANCHORS 1000

struct yaml_doc {
	struct arena *arena;
	struct yaml_node *root;
};

struct anchor {
	char *name;
	struct yaml_node *node; /* NULL while it is being built */
	size_t nodes, height;   /* of the whole subtree */
};

struct reading {
	struct builder b;
	yaml_parser_t parser;
	struct anchor anchors[MAX_ANCHORS];
	size_t n_anchors;
	size_t depth;
};

/* ---- places ---- */

void line_table_init(struct line_table *lines, const char *text, size_t len)
{
	*lines = (struct line_table){0};
	size_t character = 0;
	for (const char *p = text, *end = text + len; p <= end; character++) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		lines->starts = xgrow(lines->starts, &lines->capacity, lines->n + 1, sizeof(*lines->starts));
		lines->starts[lines->n++] = character;
		if (!newline)
			break;
		character += utf8_count(p, (size_t)(newline - p));
		p = newline + 1;
	}
}

void line_table_done(struct line_table *lines)
{
	free(lines->starts);
	*lines = (struct line_table){0};
}

void line_table_find(const struct line_table *lines, size_t character, unsigned *ret_line, unsigned *ret_column)
{
	size_t low = 0, high = lines->n; /* starts[low] <= character < starts[high] */
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (lines->starts[middle] <= character)
			low = middle;
		else
			high = middle;
	}
	*ret_line = (unsigned)low + 1;
	*ret_column = (unsigned)(character - lines->starts[low]) + 1;
}

/* ---- building ---- */

void builder_end(struct builder *b, struct yaml_node *node, size_t start, size_t end)
{
	unsigned line = 0, column = 0;
	if (end > start)
		line_table_find(&b->lines, end, &line, &column);
	node->end_column = line == node->line ? column : 0;
}

struct yaml_node *builder_node(struct builder *b, enum yaml_kind kind, size_t start, size_t end)
{
	struct yaml_node *node = arena_alloc(b->arena, sizeof(*node));
	node->kind = kind;
	node->file = b->file;
	line_table_find(&b->lines, start, &node->line, &node->column);
	builder_end(b, node, start, end);
	return node;
}

bool builder_count(struct builder *b, size_t nodes, size_t depth, const struct yaml_node *at)
{
	if (b->failed)
		return false;
	b->nodes += nodes; /* Both are at most YAML_MAX_NODES here. */
	if (depth > YAML_MAX_DEPTH)
		yaml_error(b->diags, at, "too-deep", NULL, "nested more than %d levels deep", YAML_MAX_DEPTH);
	else if (b->nodes > YAML_MAX_NODES)
		yaml_error(b->diags, at, "too-large", NULL, "more than %d values, counting each alias as what it stands for", YAML_MAX_NODES);
	else
		return true;
	b->failed = true;
	return false;
}

void items_add(struct items *items, struct yaml_node *key, struct yaml_node *value)
{
	items->keys = xgrow(items->keys, &items->capacity, items->n + 1, sizeof(*items->keys));
	items->values = xgrow(items->values, &items->values_capacity, items->n + 1, sizeof(*items->values));
	items->keys[items->n] = key;
	items->values[items->n++] = value;
}

static struct yaml_node **keep(struct arena *arena, struct yaml_node **nodes, size_t n)
{
	struct yaml_node **kept = arena_alloc(arena, n * sizeof(*nodes));
	if (n)
		memcpy(kept, nodes, n * sizeof(*nodes));
	return kept;
}

void items_finish(struct builder *b, struct items *items, struct yaml_node *node)
{
	node->n = items->n;
	node->values = keep(b->arena, items->values, items->n);
	if (node->kind == YAML_MAPPING)
		node->keys = keep(b->arena, items->keys, items->n);
	free(items->keys);
	free(items->values);
}

bool text_is_null(const char *text)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(text, words[i]) == 0)
			return true;
	return false;
}

/* ---- mistakes ---- */

static void add_error(struct builder *b, size_t character, const char *code, const char *hint, const char *message)
{
	struct diag diag = {.severity = DIAG_ERROR, .file = b->file, .code = code, .message = message, .hint = hint};
	line_table_find(&b->lines, character, &diag.line, &diag.column);
	diag_add(b->diags, &diag);
}

/* The character with this number, as bytes. */
static const char *find_character(const struct builder *b, size_t number)
{
	size_t byte = 0;
	for (; number > 0 && byte < b->len; number--) {
		uint32_t c;
		size_t n = utf8_decode(b->text + byte, b->len - byte, &c);
		byte += n ? n : 1;
	}
	return b->text + byte;
}

/* What YAML 1.2 (production 1, c-printable) forbids anywhere in a file; libyaml's reader stops there and tells no place. */
static void tell_forbidden_character(struct builder *b)
{
	size_t character = 0;
	for (size_t byte = 0; byte < b->len; character++) {
		uint32_t c;
		byte += utf8_decode(b->text + byte, b->len - byte, &c);
		bool allowed = c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0x7f) || c == 0x85 ||
			       (c >= 0xa0 && c <= 0xfffd && c != 0xfeff) || c >= 0x10000;
		if (allowed)
			continue;
		cleanup_free char *message = xasprintf("the character U+%04X is not allowed in YAML", (unsigned)c);
		add_error(b, character, "syntax", "in a quoted string it can be written as an escape", message);
		return;
	}
	add_error(b, 0, "syntax", NULL, "the file cannot be read as text");
}

static void tell_syntax_error(struct reading *r)
{
	const yaml_parser_t *p = &r->parser;
	struct builder *b = &r->b;
	if (p->error == YAML_MEMORY_ERROR)
		abort();
	if (p->error == YAML_READER_ERROR) {
		tell_forbidden_character(b);
		return;
	}
	const char *problem = p->problem ? p->problem : "this is no YAML", *at = find_character(b, p->problem_mark.index), *hint = NULL;
	if (*at == '\t') {
		add_error(b, p->problem_mark.index, "tab", "use spaces", "a tab cannot indent");
		return;
	}
	if (*at == '@' || *at == '`' || *at == '%')
		hint = "text that starts with this character needs quotes";
	else if (strstr(problem, "mapping values are not allowed"))
		hint = "text that has \": \" in it needs quotes";
	bool has_context = p->context && !strstr(p->context, "for the next token");
	unsigned line = 0, column = 0;
	if (has_context)
		line_table_find(&b->lines, p->context_mark.index, &line, &column);
	cleanup_free char *message = has_context ? xasprintf("%s, %s that starts at line %u", problem, p->context, line) : xstrdup(problem);
	add_error(b, p->problem_mark.index, "syntax", hint, message);
}

static void refuse_tag(struct reading *r, const yaml_char_t *tag, const struct yaml_node *node)
{
	static const char core[] = "tag:yaml.org,2002:";
	const char *text = (const char *)tag;
	if (!text)
		return;
	bool is_core = strncmp(text, core, sizeof(core) - 1) == 0;
	yaml_error(r->b.diags, node, "tag", "remove it", "tags such as %s%s are not allowed", is_core ? "!!" : "",
		   is_core ? text + sizeof(core) - 1 : text);
}

/* ---- anchors ---- */

static struct anchor *find_anchor(struct reading *r, const char *name)
{
	for (size_t i = 0; i < r->n_anchors; i++)
		if (strcmp(r->anchors[i].name, name) == 0)
			return &r->anchors[i];
	return NULL;
}

/* The anchor to be filled in when its node is complete, or NULL if the node has none. A name may be used again: the later one
 * counts from there on. */
static struct anchor *start_anchor(struct reading *r, const yaml_char_t *name, const struct yaml_node *node)
{
	if (!name)
		return NULL;
	struct anchor *anchor = find_anchor(r, (const char *)name);
	if (!anchor && r->n_anchors == MAX_ANCHORS) {
		yaml_error(r->b.diags, node, "too-many-anchors", NULL, "more than %d anchors", MAX_ANCHORS);
		r->b.failed = true;
		return NULL;
	}
	if (!anchor) {
		anchor = &r->anchors[r->n_anchors++];
		anchor->name = xstrdup((const char *)name);
	}
	anchor->node = NULL;
	return anchor;
}

/* Levels of collections. */
static size_t height_of(const struct yaml_node *node)
{
	if (node->kind != YAML_SEQUENCE && node->kind != YAML_MAPPING)
		return 0;
	size_t height = 0;
	for (size_t i = 0; i < node->n; i++) {
		size_t below = height_of(node->values[i]);
		height = below > height ? below : height;
	}
	return height + 1;
}

static void finish_anchor(struct reading *r, struct anchor *anchor, struct yaml_node *node, size_t nodes_before)
{
	if (!anchor || r->b.failed)
		return;
	anchor->node = node;
	anchor->nodes = r->b.nodes - nodes_before;
	anchor->height = height_of(node);
}

static struct yaml_node *build_alias(struct reading *r, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	struct yaml_node *at = builder_node(&r->b, YAML_NULL, event->start_mark.index, event->end_mark.index);
	const struct anchor *anchor = find_anchor(r, name);
	if (anchor && anchor->node) {
		builder_count(&r->b, anchor->nodes, r->depth + anchor->height, at);
		return anchor->node;
	}
	if (anchor) {
		yaml_error(r->b.diags, at, "unknown-alias", NULL, "alias \"*%s\" stands inside what it refers to", name);
		return at;
	}
	const char *names[MAX_ANCHORS];
	for (size_t i = 0; i < r->n_anchors; i++)
		names[i] = r->anchors[i].name;
	const char *near = nearest_word(name, names, r->n_anchors);
	cleanup_free char *hint = near ? xasprintf("did you mean \"*%s\"?", near) : NULL;
	yaml_error(r->b.diags, at, "unknown-alias", hint, "alias \"*%s\" has no anchor before it", name);
	return at;
}

/* ---- nodes ---- */

static bool next_event(struct reading *r, yaml_event_t *event)
{
	if (r->b.failed)
		return false;
	if (yaml_parser_parse(&r->parser, event))
		return true;
	tell_syntax_error(r);
	r->b.failed = true;
	return false;
}

static struct yaml_node *build_scalar(struct reading *r, const yaml_event_t *event, bool is_key)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	bool quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	bool is_null = !quoted && !is_key && text_is_null(text);
	struct yaml_node *node =
		builder_node(&r->b, is_null ? YAML_NULL : YAML_SCALAR, event->start_mark.index, event->end_mark.index);
	node->quoted = quoted;
	if (!is_null)
		node->text = arena_strndup(r->b.arena, text, len);
	if (strlen(text) != len)
		yaml_error(r->b.diags, node, "nul", NULL, "text cannot contain the character U+0000");
	refuse_tag(r, event->data.scalar.tag, node);
	size_t before = r->b.nodes;
	if (builder_count(&r->b, 1, r->depth, node))
		finish_anchor(r, start_anchor(r, event->data.scalar.anchor, node), node, before);
	return node;
}

static struct yaml_node *build_node(struct reading *r, const yaml_event_t *event, bool is_key);

static void build_items(struct reading *r, struct items *items, size_t *ret_end)
{
	yaml_event_t event;
	while (next_event(r, &event)) {
		bool end = event.type == YAML_SEQUENCE_END_EVENT;
		if (end)
			*ret_end = event.end_mark.index;
		else
			items_add(items, NULL, build_node(r, &event, false));
		yaml_event_delete(&event);
		if (end)
			return;
	}
}

/* Whether a key can stay; tells if not. */
static bool check_key(struct reading *r, const struct yaml_node *key)
{
	if (key->kind != YAML_SCALAR)
		yaml_error(r->b.diags, key, "bad-key", NULL, "a key must be plain text");
	else if (!key->quoted && !key->text[0])
		yaml_error(r->b.diags, key, "bad-key", NULL, "a key is missing before \":\"");
	else if (!key->quoted && strcmp(key->text, "<<") == 0)
		yaml_error(r->b.diags, key, "merge-key", "write the keys out, or use an alias as the whole value",
			   "merge keys (\"<<\") are not part of YAML 1.2");
	else
		return true;
	return false;
}

static void build_pairs(struct reading *r, struct items *items, size_t *ret_end)
{
	yaml_event_t event;
	struct yaml_node *key = NULL;
	while (next_event(r, &event)) {
		bool end = event.type == YAML_MAPPING_END_EVENT;
		if (end) {
			*ret_end = event.end_mark.index;
		} else if (!key) {
			key = build_node(r, &event, true);
		} else {
			struct yaml_node *value = build_node(r, &event, false);
			if (!r->b.failed && check_key(r, key))
				items_add(items, key, value);
			key = NULL;
		}
		yaml_event_delete(&event);
		if (end)
			return;
	}
}

static int compare_keys(const void *a, const void *b)
{
	const struct yaml_node *x = *(struct yaml_node *const *)a, *y = *(struct yaml_node *const *)b;
	int texts = strcmp(x->text, y->text);
	if (texts)
		return texts;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->column < y->column ? -1 : x->column > y->column;
}

static void tell_duplicates(struct reading *r, const struct yaml_node *mapping)
{
	if (mapping->n < 2)
		return;
	cleanup_free struct yaml_node **sorted = xmemdup(mapping->keys, mapping->n * sizeof(*mapping->keys));
	qsort(sorted, mapping->n, sizeof(*sorted), compare_keys);
	size_t first = 0;
	for (size_t i = 1; i < mapping->n; i++) {
		if (strcmp(sorted[i]->text, sorted[first]->text) != 0)
			first = i;
		else
			yaml_error(r->b.diags, sorted[i], "duplicate-key", NULL, "duplicate key \"%s\"; the first one is at line %u",
				   sorted[i]->text, sorted[first]->line);
	}
}

static struct yaml_node *build_collection(struct reading *r, const yaml_event_t *event)
{
	bool is_map = event->type == YAML_MAPPING_START_EVENT;
	size_t start = event->start_mark.index, end = 0, before = r->b.nodes;
	struct yaml_node *node = builder_node(&r->b, is_map ? YAML_MAPPING : YAML_SEQUENCE, start, start + 1);
	bool is_flow = is_map ? event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE
			      : event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
	refuse_tag(r, is_map ? event->data.mapping_start.tag : event->data.sequence_start.tag, node);
	if (!builder_count(&r->b, 1, r->depth + 1, node))
		return node;
	struct anchor *anchor = start_anchor(r, is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor, node);
	struct items items = {0};
	r->depth++;
	if (is_map)
		build_pairs(r, &items, &end);
	else
		build_items(r, &items, &end);
	r->depth--;
	/* Where a block ends is where the next thing begins, so only brackets have an end worth showing. */
	builder_end(&r->b, node, start, is_flow ? end : 0);
	items_finish(&r->b, &items, node);
	if (is_map && !r->b.failed)
		tell_duplicates(r, node);
	finish_anchor(r, anchor, node, before);
	return node;
}

static struct yaml_node *build_node(struct reading *r, const yaml_event_t *event, bool is_key)
{
	if (event->type == YAML_ALIAS_EVENT)
		return build_alias(r, event);
	if (event->type == YAML_SCALAR_EVENT)
		return build_scalar(r, event, is_key);
	return build_collection(r, event);
}

/* ---- documents ---- */

/* The first document's root, or NULL for an empty stream. A second document is an error, and is not looked into. */
static struct yaml_node *build_stream(struct reading *r)
{
	struct yaml_node *root = NULL;
	bool done = false;
	yaml_event_t event;
	for (unsigned documents = 0; !done && next_event(r, &event); yaml_event_delete(&event)) {
		switch ((int)event.type) {
		case YAML_STREAM_END_EVENT:
			done = true;
			break;
		case YAML_DOCUMENT_START_EVENT:
			done = ++documents > 1;
			if (done)
				add_error(&r->b, event.start_mark.index, "several-documents", NULL,
					  "a second document starts here; only one is allowed in a file");
			break;
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		default:
			root = build_node(r, &event, false);
			break;
		}
	}
	return root;
}

static struct yaml_node *read_yaml(struct builder *b)
{
	struct reading *r = xcalloc(1, sizeof(*r));
	r->b = *b;
	if (!yaml_parser_initialize(&r->parser))
		abort();
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)b->text, b->len);
	struct yaml_node *root = build_stream(r);
	yaml_parser_delete(&r->parser);
	for (size_t i = 0; i < r->n_anchors; i++)
		free(r->anchors[i].name);
	*b = r->b;
	free(r);
	return root;
}

/* Refuses what no way of reading can make sense of. */
static void check_bytes(struct builder *b)
{
	size_t valid = utf8_valid_prefix(b->text, b->len);
	const char *nul = memchr(b->text, '\0', b->len);
	if (nul && (size_t)(nul - b->text) < valid) {
		add_error(b, utf8_count(b->text, (size_t)(nul - b->text)), "nul", NULL, "a NUL byte; this is no text file");
		b->failed = true;
	} else if (valid < b->len) {
		add_error(b, utf8_count(b->text, valid), "encoding", NULL, "a byte that is not valid UTF-8");
		b->failed = true;
	}
}

/* YAML if possible, else JSON; diagnostics of the attempt that counts go to b->diags. */
static struct yaml_node *read_either(struct builder *b)
{
	struct diag_list *diags = b->diags;
	cleanup_diags struct diag_list *found = diag_list_new();
	b->diags = found;
	struct yaml_node *root = read_yaml(b);
	bool syntax = b->failed && diag_count(found) > 0;
	for (size_t i = 0; i < diag_count(found); i++)
		syntax = syntax && strcmp(diag_at(found, i)->code, "too-deep") != 0 && strcmp(diag_at(found, i)->code, "too-large") != 0;
	if (syntax) {
		struct builder again = {.arena = b->arena, .file = b->file, .text = b->text, .len = b->len, .diags = diags, .lines = b->lines};
		root = yaml_build_json(&again);
		if (root || again.failed) {
			b->failed = again.failed;
			return root;
		}
	}
	for (size_t i = 0; i < diag_count(found); i++)
		diag_add(diags, diag_at(found, i));
	return b->failed ? NULL : root;
}

struct yaml_doc *yaml_parse(const char *file, const char *text, size_t len, struct diag_list *diags)
{
	cleanup_arena struct arena *arena = arena_new();
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* A byte order mark counts for no column. */
		text += 3;
		len -= 3;
	}
	if (len > YAML_MAX_BYTES) {
		diag_add(diags, &(struct diag){.file = file, .line = 1, .code = "too-large", .message = "the file is larger than 1 MiB"});
		return NULL;
	}
	struct builder b = {.arena = arena, .file = arena_strdup(arena, file), .diags = diags, .len = len};
	char *copy = arena_alloc(arena, len + 1); /* since a caller's text need not end with a NUL */
	if (len)
		memcpy(copy, text, len);
	b.text = copy;
	line_table_init(&b.lines, b.text, len);
	check_bytes(&b);
	struct yaml_node *root = b.failed ? NULL : read_either(&b);
	if (!root && !b.failed)
		root = builder_node(&b, YAML_NULL, 0, 0);
	line_table_done(&b.lines);
	if (b.failed)
		return NULL;
	struct yaml_doc *doc = xcalloc(1, sizeof(*doc));
	doc->arena = STEAL(arena);
	doc->root = root;
	return doc;
}

void yaml_doc_free(struct yaml_doc *doc)
{
	if (!doc)
		return;
	arena_free(doc->arena);
	free(doc);
}

const struct yaml_node *yaml_root(const struct yaml_doc *doc)
{
	return doc->root;
}

static size_t find_key(const struct yaml_node *node, const char *key)
{
	for (size_t i = 0; node && node->kind == YAML_MAPPING && i < node->n; i++)
		if (strcmp(node->keys[i]->text, key) == 0)
			return i;
	return SIZE_MAX;
}

const struct yaml_node *yaml_get(const struct yaml_node *node, const char *key)
{
	size_t i = find_key(node, key);
	return i == SIZE_MAX ? NULL : node->values[i];
}

const struct yaml_node *yaml_get_key(const struct yaml_node *node, const char *key)
{
	size_t i = find_key(node, key);
	return i == SIZE_MAX ? NULL : node->keys[i];
}

void yaml_error(struct diag_list *diags, const struct yaml_node *at, const char *code, const char *hint, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *message = xvasprintf(fmt, args);
	va_end(args);
	diag_add(diags, &(struct diag){
				.severity = DIAG_ERROR,
				.file = at->file,
				.line = at->line,
				.column = at->column,
				.end_column = at->end_column,
				.code = code,
				.message = message,
				.hint = hint,
			});
}
