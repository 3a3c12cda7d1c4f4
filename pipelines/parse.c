#include "pipelines/parse_priv.h"

#include <string.h>

/* ---- the top of the file ---- */

static const char *const versions[] = {"1", NULL};
static const struct schema version_schema = {SCHEMA_ENUM, .choices = versions};
static const char *const queues[] = {"fifo", "latest", NULL};
static const struct schema queue_schema = {SCHEMA_ENUM, .choices = queues};
static const struct schema limit_schema = {SCHEMA_INTEGER, .has_min = true, .min = 1, .has_max = true, .max = 1000};
static const struct schema_field concurrency_fields[] = {
	{"group", &schema_name, .doc = "runs of this group wait for each other", .fallback = "the pipeline's name"},
	{"limit", &limit_schema, .doc = "how many of them run at a time", .fallback = "1"},
	{"queue", &queue_schema, .doc = "fifo, or latest: a newer run takes the place of older waiting ones", .fallback = "fifo"},
	{.name = NULL}};
static const struct schema concurrency_schema = {SCHEMA_STRUCT, .fields = concurrency_fields};
static const struct schema stages_schema = {SCHEMA_MAP, .key = &schema_name, .item = &schema_any, .has_min = true, .min = 1};
static const struct schema_field file_fields[] = {
	{"version", &version_schema, .doc = "of the language", .fallback = "1"},
	{"name", &schema_name, .doc = "of the pipeline", .fallback = "the file's name"},
	{"on", &schema_any, .doc = "the events that start it", .fallback = "push to any branch, and manual"},
	{"env", &env_schema, .doc = "environment variables of all stages"},
	{"concurrency", &concurrency_schema, .doc = "how many runs at a time"},
	{"defaults", &defaults_schema, .doc = "timeout and retry of all stages"},
	{"stages", &stages_schema, .required = true, .doc = "what to do"},
	{.name = NULL}};
static const struct schema file_schema = {SCHEMA_STRUCT, .fields = file_fields};

/* The words of the language for which there may be no kind of stage (yet). */
static const char *const body_words[] = {"run", "validate", "score", "gate", "scan", "build", "chart", "deploy", "approve"};

struct owned {
	struct pipeline pipeline; /* first, so that pipeline_free() finds the rest */
	struct yaml_doc *doc;
};

static bool has_kind(const struct stage_kind *const *kinds, const char *name)
{
	for (size_t i = 0; kinds[i]; i++) {
		if (strcmp(kinds[i]->name, name) == 0)
			return true;
	}
	return false;
}

/* The caller's kinds, and a row that refuses for every word of the language that has none. */
static const struct stage_kind *const *complete_kinds(struct arena *arena, const struct stage_kind *const *kinds)
{
	const struct stage_kind **all;
	size_t n = 0;

	while (kinds[n])
		n++;
	all = arena_alloc(arena, (n + ARRAY_SIZE(body_words) + 1) * sizeof(*all));
	memcpy(all, kinds, n * sizeof(*all));
	for (size_t i = 0; i < ARRAY_SIZE(body_words); i++) {
		struct stage_kind *kind;

		if (has_kind(kinds, body_words[i]))
			continue;
		kind = arena_alloc(arena, sizeof(*kind));
		*kind = (struct stage_kind){
			.name = body_words[i], .doc = "not available in this build", .schema = &schema_any,
			.unavailable = arena_printf(arena, "%s stages are not available in this build", body_words[i])};
		all[n++] = kind;
	}
	return all;
}

/* ".penstock/train.yml" is the pipeline "train", ".penstock.yml" is "default". */
static const char *name_from_file(struct arena *arena, const char *file)
{
	const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file, *dot = strrchr(base, '.');

	if (*base == '.' || *base == '\0')
		return "default";
	return arena_strndup(arena, base, dot ? (size_t)(dot - base) : strlen(base));
}

static void read_concurrency(struct pipeline *pipeline, const struct yaml_node *node)
{
	int64_t limit;

	pipeline->concurrency.present = node && node->kind == YAML_MAPPING;
	pipeline->concurrency.group = yaml_text(yaml_get(node, "group"), pipeline->name);
	pipeline->concurrency.limit = yaml_int(yaml_get(node, "limit"), &limit) && limit > 0 && limit <= 1000 ? (unsigned)limit : 1;
	pipeline->concurrency.latest = strcmp(yaml_text(yaml_get(node, "queue"), "fifo"), "latest") == 0;
}

static void read_file(struct parsing *parsing)
{
	struct pipeline *pipeline = parsing->pipeline;
	const struct yaml_node *root = parsing->root;
	static const char *const plain[] = {"version", "name", "concurrency", "defaults"};

	schema_check(&file_schema, root, parsing->diags);
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		refuse_placeholders(yaml_get(root, plain[i]), plain[i], parsing->diags);
	pipeline->name = yaml_text(yaml_get(root, "name"), NULL);
	if (!pipeline->name)
		pipeline->name = name_from_file(parsing->arena, pipeline->file);
	read_triggers(parsing, yaml_get(root, "on"));
	read_concurrency(pipeline, yaml_get(root, "concurrency"));
	parsing->env = yaml_get(root, "env");
	parsing->defaults = yaml_get(root, "defaults");
	check_env(parsing->env, parsing->diags);
	check_env_placeholders(parsing, parsing->env);
}

static void read_stages(struct parsing *parsing)
{
	const struct yaml_node *stages = yaml_get(parsing->root, "stages");
	struct pipeline *pipeline = parsing->pipeline;
	struct stage *all;

	for (size_t i = 0; stages && stages->kind == YAML_MAPPING && i < stages->n; i++)
		read_stage(parsing, stages->keys[i], stages->values[i]);
	resolve_needs(parsing);
	check_graph(parsing);
	all = arena_alloc(parsing->arena, (parsing->n + 1) * sizeof(*all));
	for (size_t i = 0; i < parsing->n; i++)
		all[i] = parsing->drafts[i].stage;
	pipeline->stages = all;
	pipeline->n_stages = parsing->n;
	for (size_t i = 0; i < parsing->n; i++) {
		if (!parsing->drafts[i].broken)
			check_kind(pipeline, &all[i], parsing->diags);
	}
}

/* Two cells may get one id, since ids cannot hold every character that a value can. */
static void check_ids(struct parsing *parsing)
{
	for (size_t i = 0; i < parsing->n; i++) {
		const struct draft *draft = &parsing->drafts[i];

		for (size_t j = i; j-- > 0 && parsing->drafts[j].key == draft->key;) {
			if (strcmp(parsing->drafts[j].stage.id, draft->stage.id) != 0)
				continue;
			yaml_error(parsing->diags, draft->key, "duplicate", "each cell of a matrix needs values that tell it from the others",
				   "two cells of stage \"%s\" are both called \"%s\"", draft->stage.name, draft->stage.id);
			break;
		}
	}
}

struct pipeline *pipeline_parse(const char *file, const char *text, size_t len, const struct stage_kind *const *kinds,
				struct diag_list *diags)
{
	/* A list of our own, since the caller's may hold other files' mistakes, and cells of a matrix repeat theirs. */
	cleanup_diags struct diag_list *found = diag_list_new();
	cleanup_diags struct diag_list *distinct = diag_list_new();
	struct yaml_doc *doc = yaml_parse(file, text, len, found);
	struct arena *arena = arena_new();
	struct owned *owned = arena_alloc(arena, sizeof(*owned));
	struct parsing parsing = {
		.arena = arena, .diags = found, .pipeline = &owned->pipeline, .root = doc ? yaml_root(doc) : NULL,
		.budget = FILL_BUDGET,
	};

	owned->doc = doc;
	owned->pipeline = (struct pipeline){.file = arena_strdup(arena, file), .root = parsing.root, .arena = arena};
	if (doc) {
		parsing.kinds = complete_kinds(arena, kinds);
		parsing.stage_schema = stage_schema_new(arena, parsing.kinds);
		read_file(&parsing);
		read_stages(&parsing);
		check_ids(&parsing);
	}
	free(parsing.drafts);
	diags_merge(distinct, found);
	for (size_t i = 0; i < diag_count(distinct); i++)
		diag_add(diags, diag_at(distinct, i));
	if (doc && diag_errors(found) == 0)
		return &owned->pipeline;
	pipeline_free(&owned->pipeline);
	return NULL;
}

void pipeline_free(struct pipeline *pipeline)
{
	struct owned *owned = (struct owned *)pipeline;

	if (!pipeline)
		return;
	yaml_doc_free(owned->doc);
	arena_free(owned->pipeline.arena);
}

long pipeline_find(const struct pipeline *pipeline, const char *name)
{
	for (size_t i = 0; i < pipeline->n_stages; i++) {
		if (strcmp(pipeline->stages[i].id, name) == 0 || strcmp(pipeline->stages[i].name, name) == 0)
			return (long)i;
	}
	return -1;
}
