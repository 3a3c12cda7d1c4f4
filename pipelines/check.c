/* The graph of stages: what `needs` names, cycles, stages that can never run, outputs that would fall over each other. */
#include "pipelines/parse_priv.h"

#include "base/alloc.h"

#include <string.h>

#define MAX_SUGGESTIONS 50     /* each costs a look at every name */
#define MAX_TOLD_PATH 12       /* stages of a cycle that a message names */
#define MAX_INHERITED_PAIRS 100

/* ---- needs ---- */

struct name_entry {
	const char *name;
	size_t stage;
};

static int compare_entries(const void *a, const void *b)
{
	const struct name_entry *left = a, *right = b;
	int order = strcmp(left->name, right->name);

	return order ? order : (left->stage > right->stage) - (left->stage < right->stage);
}

/* Every stage by its name, and the cells of a matrix also each by its id. */
static struct name_entry *index_names(const struct parsing *parsing, size_t *ret_n)
{
	struct name_entry *entries = xcalloc(2 * parsing->n + 1, sizeof(*entries));
	size_t n = 0;

	for (size_t i = 0; i < parsing->n; i++) {
		const struct stage *stage = &parsing->drafts[i].stage;

		entries[n++] = (struct name_entry){stage->name, i};
		if (strcmp(stage->id, stage->name) != 0)
			entries[n++] = (struct name_entry){stage->id, i};
	}
	qsort(entries, n, sizeof(*entries), compare_entries);
	*ret_n = n;
	return entries;
}

static size_t first_entry(const struct name_entry *entries, size_t n, const char *name)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(entries[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void unknown_need(struct parsing *parsing, const struct draft *draft, const struct yaml_node *item, unsigned *suggestions)
{
	cleanup_free const char **names = NULL;
	const char *near = NULL;
	size_t n = 0;

	if ((*suggestions)++ < MAX_SUGGESTIONS) {
		names = xcalloc(parsing->n, sizeof(*names));
		for (size_t i = 0; i < parsing->n; i++) {
			if (&parsing->drafts[i] != draft && (i == 0 || parsing->drafts[i].key != parsing->drafts[i - 1].key))
				names[n++] = parsing->drafts[i].stage.name;
		}
		near = nearest_word(item->text, names, n);
	}
	yaml_error(parsing->diags, item, "unknown-stage", near ? arena_printf(parsing->arena, "did you mean \"%s\"?", near) : NULL,
		   "stage \"%s\" needs \"%s\", which is no stage", draft->stage.name, item->text);
}

/* The items of a list that may also be a lone scalar. */
static size_t list_items(const struct yaml_node *node, const struct yaml_node *const **ret, const struct yaml_node **single)
{
	if (!node || node->kind == YAML_NULL || node->kind == YAML_MAPPING)
		return 0;
	if (node->kind == YAML_SCALAR) {
		*single = node;
		*ret = single;
		return 1;
	}
	*ret = (const struct yaml_node *const *)node->values;
	return node->n;
}

void resolve_needs(struct parsing *parsing)
{
	size_t n_entries;
	cleanup_free struct name_entry *entries = index_names(parsing, &n_entries);
	cleanup_free size_t *needs = xcalloc(parsing->n + 1, sizeof(*needs));
	cleanup_free const struct yaml_node **need_at = xcalloc(parsing->n + 1, sizeof(*need_at));
	unsigned suggestions = 0;

	for (size_t i = 0; i < parsing->n; i++) {
		struct draft *draft = &parsing->drafts[i];
		const struct yaml_node *list = schema_get(parsing->stage_schema, draft->stage.node, "needs"), *single;
		const struct yaml_node *const *items = NULL;
		size_t n_items = list_items(list, &items, &single), n = 0;
		cleanup_free bool *taken = xcalloc(parsing->n + 1, sizeof(*taken));

		for (size_t j = 0; j < n_items; j++) {
			const char *name = yaml_text(items[j], NULL);
			size_t at = name ? first_entry(entries, n_entries, name) : n_entries;

			if (!name || has_placeholder(name))
				continue; /* told by the schema, or by check_placeholders() */
			if (at == n_entries || strcmp(entries[at].name, name) != 0)
				unknown_need(parsing, draft, items[j], &suggestions);
			for (; at < n_entries && strcmp(entries[at].name, name) == 0; at++) {
				if (taken[entries[at].stage]) {
					yaml_error(parsing->diags, items[j], "duplicate", NULL, "stage \"%s\" needs \"%s\" twice",
						   draft->stage.name, name);
					break;
				}
				taken[entries[at].stage] = true;
				needs[n] = entries[at].stage;
				need_at[n++] = items[j];
			}
		}
		size_t *kept = arena_alloc(parsing->arena, (n + 1) * sizeof(*kept));
		const struct yaml_node **kept_at = arena_alloc(parsing->arena, (n + 1) * sizeof(*kept_at));
		memcpy(kept, needs, n * sizeof(*kept));
		memcpy(kept_at, need_at, n * sizeof(*kept_at));
		draft->stage.needs = kept;
		draft->stage.n_needs = n;
		draft->need_at = kept_at;
	}
}

/* ---- cycles ---- */

struct walk {
	struct parsing *parsing;
	enum { WHITE, GREY, BLACK } *colors;
	size_t *path, depth;
	size_t *order, n_order; /* every stage behind all that it needs */
	bool cyclic;
};

static const struct yaml_node *need_node(const struct draft *draft, size_t need)
{
	for (size_t i = 0; i < draft->stage.n_needs; i++) {
		if (draft->stage.needs[i] == need)
			return draft->need_at[i];
	}
	return draft->key;
}

/* path[0] needs path[1] needs ... needs path[n - 1] needs path[0]. */
static void report_cycle(struct parsing *parsing, const size_t *path, size_t n)
{
	struct draft *drafts = parsing->drafts;
	cleanup_buf struct buf text = {0};
	size_t first = 0;
	bool known = true;

	for (size_t i = 0; i < n; i++) {
		known = known && drafts[path[i]].in_cycle;
		drafts[path[i]].in_cycle = true;
		if (path[i] < path[first])
			first = i;
	}
	if (known)
		return;
	buf_init(&text, 4096);
	for (size_t i = 0; i < n && i < MAX_TOLD_PATH; i++)
		buf_addf(&text, "%s -> ", drafts[path[(first + i) % n]].stage.name);
	if (n > MAX_TOLD_PATH)
		buf_addf(&text, "... (%zu more) -> ", n - MAX_TOLD_PATH);
	buf_adds(&text, drafts[path[first]].stage.name);
	if (n == 1)
		yaml_error(parsing->diags, need_node(&drafts[path[0]], path[0]), "cycle", NULL, "stage \"%s\" needs itself",
			   drafts[path[0]].stage.name);
	else
		yaml_error(parsing->diags, need_node(&drafts[path[first]], path[(first + 1) % n]), "cycle", NULL,
			   "stages need each other in a circle: %s", text.data);
}

/* Depth is at most PIPELINE_MAX_STAGES. */
static void visit(struct walk *walk, size_t i)
{
	const struct stage *stage = &walk->parsing->drafts[i].stage;

	walk->colors[i] = GREY;
	walk->path[walk->depth++] = i;
	for (size_t j = 0; j < stage->n_needs; j++) {
		size_t need = stage->needs[j], from = walk->depth;

		if (walk->colors[need] == WHITE)
			visit(walk, need);
		if (walk->colors[need] != GREY)
			continue;
		while (walk->path[from - 1] != need)
			from--;
		report_cycle(walk->parsing, walk->path + from - 1, walk->depth - from + 1);
		walk->cyclic = true;
	}
	walk->depth--;
	walk->colors[i] = BLACK;
	walk->order[walk->n_order++] = i;
}

static void check_blocked(struct parsing *parsing, const size_t *order)
{
	cleanup_free bool *blocked = xcalloc(parsing->n + 1, sizeof(*blocked));

	for (size_t k = 0; k < parsing->n; k++) {
		const struct draft *draft = &parsing->drafts[order[k]];

		if (draft->in_cycle)
			continue;
		for (size_t j = 0; j < draft->stage.n_needs && !blocked[order[k]]; j++) {
			size_t need = draft->stage.needs[j];

			if (!parsing->drafts[need].in_cycle && !blocked[need])
				continue;
			blocked[order[k]] = true;
			yaml_error(parsing->diags, draft->need_at[j], "unreachable", NULL, "stage \"%s\" can never start: it needs \"%s\", which %s",
				   draft->stage.name, parsing->drafts[need].stage.name,
				   blocked[need] ? "can never start either" : "is part of a circle");
		}
	}
}

/* ---- events ---- */

static unsigned events_of(const struct pipeline *pipeline, const struct globs *wanted)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < N_EVENT_KINDS; i++) {
		if (pipeline->on[i].enabled && globs_match(wanted, event_kind_name((enum event_kind)i)))
			mask |= 1u << i;
	}
	return mask;
}

static const char *enabled_text(struct parsing *parsing)
{
	const char *names[N_EVENT_KINDS];
	struct globs list = {names, 0};

	for (unsigned i = 0; i < N_EVENT_KINDS; i++) {
		if (parsing->pipeline->on[i].enabled)
			names[list.n++] = event_kind_name((enum event_kind)i);
	}
	return globs_text(parsing->arena, &list);
}

/* A stage that runs after failures, too, may run where a stage that it needs does not. */
static bool only_after_success(const struct stage *stage)
{
	return stage->when.status.n == 0 || !globs_match(&stage->when.status, "failed");
}

static void check_events(struct parsing *parsing, const size_t *order)
{
	cleanup_free unsigned *possible = xcalloc(parsing->n + 1, sizeof(*possible));
	const struct globs any = {0};
	unsigned on = events_of(parsing->pipeline, &any);
	bool can_fail = false; /* a clean-up stage that needs nothing looks at all stages that are none themselves */

	for (size_t i = 0; i < parsing->n; i++)
		can_fail = can_fail || only_after_success(&parsing->drafts[i].stage);
	for (size_t i = 0; i < parsing->n; i++) /* also what is asked of a stage before its turn, which only a circle does */
		possible[i] = on;
	for (size_t k = 0; k < parsing->n && on; k++) {
		const struct draft *draft = &parsing->drafts[order[k]];
		const struct stage *stage = &draft->stage;
		unsigned own = events_of(parsing->pipeline, &stage->when.event), mask = own;

		if (!own)
			yaml_error(parsing->diags, yaml_get(stage->when.node, "event"), "unreachable", "add the event to `on`, or remove the stage",
				   "stage \"%s\" can never run: it waits for %s, and the pipeline starts on %s", stage->name,
				   globs_text(parsing->arena, &stage->when.event), enabled_text(parsing));
		if (!only_after_success(stage) && !globs_match(&stage->when.status, "success") && !can_fail)
			yaml_error(parsing->diags, yaml_get(stage->when.node, "status"), "unreachable", NULL,
				   "stage \"%s\" can never run: it waits for a failure, and there is no stage that could fail", stage->name);
		for (size_t j = 0; own && mask && only_after_success(stage) && j < stage->n_needs; j++) {
			mask &= possible[stage->needs[j]];
			if (!mask)
				yaml_error(parsing->diags, draft->need_at[j], "unreachable", NULL,
					   "stage \"%s\" can never run: it needs \"%s\", and no event starts both", stage->name,
					   parsing->drafts[stage->needs[j]].stage.name);
		}
		possible[order[k]] = mask ? mask : on; /* one mistake is told once, not again for all that follows */
	}
}

/* ---- outputs ---- */

struct output {
	const char *path;
	size_t len; /* without the "/" at the end */
	size_t stage;
};

/* By path, with "/" before every other character: so what lies in a folder follows the folder at once. */
static int compare_outputs(const void *a, const void *b)
{
	const struct output *left = a, *right = b;
	size_t n = left->len < right->len ? left->len : right->len;

	for (size_t i = 0; i < n; i++) {
		int x = (unsigned char)left->path[i], y = (unsigned char)right->path[i];

		if (x != y)
			return (x == '/' ? 0 : x) - (y == '/' ? 0 : y);
	}
	if (left->len != right->len)
		return left->len < right->len ? -1 : 1;
	return (left->stage > right->stage) - (left->stage < right->stage);
}

static bool covers(const struct output *folder, const struct output *path)
{
	return path->len >= folder->len && memcmp(folder->path, path->path, folder->len) == 0 &&
	       (path->len == folder->len || path->path[folder->len] == '/');
}

static struct output *sorted_outputs(const struct parsing *parsing, size_t *ret_n)
{
	struct output *outputs = NULL;
	size_t n = 0, capacity = 0;

	for (size_t i = 0; i < parsing->n; i++) {
		const struct stage *stage = &parsing->drafts[i].stage;

		for (size_t j = 0; j < stage->n_outputs && j < 64; j++) {
			const char *path = stage->outputs[j];
			size_t len = strlen(path);

			while (len > 1 && path[len - 1] == '/')
				len--;
			outputs = xgrow(outputs, &capacity, n + 1, sizeof(*outputs));
			outputs[n++] = (struct output){path, len, i};
		}
	}
	if (n > 0)
		qsort(outputs, n, sizeof(*outputs), compare_outputs);
	*ret_n = n;
	return outputs;
}

static bool bit(const unsigned char *bits, size_t i)
{
	return bits[i / 8] >> (i % 8) & 1;
}

static void check_own_outputs(struct parsing *parsing, const struct draft *draft, const struct output *outputs, size_t n, size_t stage)
{
	const struct output *cover = NULL;

	for (size_t i = 0; i < n; i++) {
		if (outputs[i].stage != stage)
			continue;
		if (cover && covers(cover, &outputs[i])) {
			yaml_error(parsing->diags, yaml_get(draft->stage.node, "outputs"), "overlap", "name the folder alone",
				   "stage \"%s\": outputs \"%s\" and \"%s\" overlap", draft->stage.name, cover->path, outputs[i].path);
			return;
		}
		cover = &outputs[i];
	}
}

static void report_overlap(struct parsing *parsing, const struct draft *draft, const struct output *a, const struct output *b)
{
	const struct draft *first = &parsing->drafts[a->stage], *second = &parsing->drafts[b->stage];
	const struct yaml_node *at = schema_get(parsing->stage_schema, draft->stage.node, "needs");

	if (first->key == second->key)
		yaml_error(parsing->diags, at, "overlap", "put a matrix value into the path, such as \"model-${{ matrix.lr }}/\"",
			   "stage \"%s\" needs several cells of \"%s\", which all write \"%s\"", draft->stage.name, first->stage.name, b->path);
	else if (a->len == b->len)
		yaml_error(parsing->diags, at, "overlap", "let one of them write elsewhere",
			   "stage \"%s\" needs \"%s\" and \"%s\", which both write \"%s\"",
			   draft->stage.name, first->stage.name, second->stage.name, b->path);
	else
		yaml_error(parsing->diags, at, "overlap", "let one of them write elsewhere",
			   "stage \"%s\" needs \"%s\", which writes \"%s\", and \"%s\", which writes \"%s\"", draft->stage.name, first->stage.name,
			   a->path, second->stage.name, b->path);
}

/* `closures[i]` has a bit for every stage that stage i needs, directly or not. */
static void check_needed_outputs(struct parsing *parsing, unsigned char *const *closures, const struct output *outputs, size_t n, size_t stage)
{
	const struct draft *draft = &parsing->drafts[stage];
	const struct output *cover = NULL;
	unsigned inherited_pairs = 0;

	for (size_t i = 0; i < n && inherited_pairs < MAX_INHERITED_PAIRS; i++) {
		bool inherited = false;

		if (!bit(closures[stage], outputs[i].stage))
			continue;
		if (!cover || !covers(cover, &outputs[i])) {
			cover = &outputs[i];
			continue;
		}
		if (cover->stage == outputs[i].stage)
			continue;
		for (size_t j = 0; j < draft->stage.n_needs && !inherited; j++) {
			const unsigned char *below = closures[draft->stage.needs[j]];

			inherited = bit(below, cover->stage) && bit(below, outputs[i].stage);
		}
		inherited_pairs += inherited; /* told at the stage that is needed */
		if (!inherited) {
			report_overlap(parsing, draft, cover, &outputs[i]);
			return;
		}
	}
}

static void check_outputs(struct parsing *parsing, const size_t *order)
{
	size_t n, row = (parsing->n + 7) / 8;
	cleanup_free struct output *outputs = sorted_outputs(parsing, &n);
	cleanup_free unsigned char *memory = xcalloc(parsing->n + 1, row + 1);
	cleanup_free unsigned char **closures = xcalloc(parsing->n + 1, sizeof(*closures));

	for (size_t k = 0; k < parsing->n && n > 0; k++) {
		size_t i = order[k];
		const struct stage *stage = &parsing->drafts[i].stage;

		closures[i] = memory + i * row;
		for (size_t j = 0; j < stage->n_needs; j++) {
			size_t need = stage->needs[j];

			closures[i][need / 8] = (unsigned char)(closures[i][need / 8] | 1u << (need % 8));
			for (size_t b = 0; b < row; b++)
				closures[i][b] |= closures[need][b];
		}
		check_own_outputs(parsing, &parsing->drafts[i], outputs, n, i);
		check_needed_outputs(parsing, closures, outputs, n, i);
	}
}

void check_graph(struct parsing *parsing)
{
	cleanup_free void *colors = xcalloc(parsing->n + 1, sizeof(*((struct walk *)0)->colors));
	cleanup_free size_t *path = xcalloc(parsing->n + 1, sizeof(*path));
	cleanup_free size_t *order = xcalloc(parsing->n + 1, sizeof(*order));
	struct walk walk = {.parsing = parsing, .colors = colors, .path = path, .order = order};

	for (size_t i = 0; i < parsing->n; i++) {
		if (walk.colors[i] == WHITE)
			visit(&walk, i);
	}
	check_events(parsing, order);
	if (walk.cyclic)
		check_blocked(parsing, order);
	else
		check_outputs(parsing, order);
}
