/* One entry of `stages`: its schema, and each cell of its matrix as a struct stage. */
#include "pipelines/parse_priv.h"

#include "base/alloc.h"

#include <ctype.h>
#include <string.h>

#define DEFAULT_TIMEOUT_MS (60ull * 60 * 1000)
#define MAX_TIMEOUT_MS (30ull * 24 * 60 * 60 * 1000)
#define DEFAULT_INFRA_RETRIES 2

/* ---- the schema ---- */

static const struct schema retry_count = {SCHEMA_INTEGER, .has_min = true, .min = 0, .has_max = true, .max = 10};
static void check_cause(const struct yaml_node *item, struct diag_list *diags);
static const struct schema retry_cause = {SCHEMA_STRING, .check = check_cause};
static const struct schema retry_causes = {SCHEMA_LIST, .item = &retry_cause, .scalar_is_list = true, .has_min = true, .min = 1};
static const struct schema_field retry_fields[] = {
	{"limit", &retry_count, .doc = "how often to try again", .fallback = "0"},
	{"on", &retry_causes, .doc = "outcomes to try again after: failed, timeout, oom, infra, preempted, lost, or exit:75",
	 .fallback = "failed, timeout, oom"},
	{"infra_limit", &retry_count, .doc = "the separate budget for infra, preempted and lost",
	 .fallback = "limit if `on` names one of them, else 2"},
	{.name = NULL}};
static const struct schema retry_struct = {SCHEMA_STRUCT, .fields = retry_fields};
static const struct schema retry_schema = {SCHEMA_EITHER, .scalar = &retry_count, .mapping = &retry_struct};
static void check_timeout(const struct yaml_node *timeout, struct diag_list *diags);
static const struct schema timeout_schema = {SCHEMA_DURATION, .check = check_timeout};

static const struct schema_field defaults_fields[] = {
	{"timeout", &timeout_schema, .doc = "for stages that do not say", .fallback = "1h"},
	{"retry", &retry_schema, .doc = "for stages that do not say"},
	{.name = NULL}};
const struct schema defaults_schema = {SCHEMA_STRUCT, .fields = defaults_fields};

static void check_gpu(const struct yaml_node *node, struct diag_list *diags);
static const struct schema cpu_count = {SCHEMA_INTEGER, .has_min = true, .min = 1, .has_max = true, .max = 4096};
static const struct schema gpu_count = {SCHEMA_INTEGER, .has_min = true, .min = 0, .has_max = true, .max = 64, .check = check_gpu};
static const struct schema_field resource_fields[] = {
	{"cpu", &cpu_count, .doc = "processors"},
	{"memory", &schema_size, .doc = "memory; more ends the stage with outcome oom"},
	{"gpu", &gpu_count, .doc = "graphics processors", .fallback = "0"},
	{.name = NULL}};
static const struct schema resources_schema = {SCHEMA_STRUCT, .fields = resource_fields};

static const char *const networks[] = {"none", "host", NULL};
static const struct schema network_schema = {SCHEMA_ENUM, .choices = networks};
static const struct schema needs_schema = {SCHEMA_LIST, .item = &schema_string, .scalar_is_list = true};
static const struct schema inputs_schema = {SCHEMA_LIST, .item = &schema_glob, .scalar_is_list = true, .has_min = true, .min = 1};
static const struct schema outputs_schema = {
	SCHEMA_LIST, .item = &schema_path, .scalar_is_list = true, .has_min = true, .min = 1, .has_max = true, .max = 64};
static const struct schema secrets_schema = {SCHEMA_LIST, .item = &schema_string, .scalar_is_list = true, .has_max = true, .max = 64};

const struct schema env_schema = {SCHEMA_MAP, .item = &schema_string, .has_max = true, .max = ENV_MAX};

static const struct schema_field stage_fields[] = {
	{"needs", &needs_schema, .doc = "stages that must have succeeded before", .alias = "depends_on"},
	{"when", &when_schema, .doc = "conditions under which the stage runs"},
	{"matrix", &schema_any, .doc = "lists of values; the stage runs once for each combination"},
	{"env", &env_schema, .doc = "environment variables"},
	{"inputs", &inputs_schema, .doc = "the files of the commit it sees", .fallback = "all files"},
	{"outputs", &outputs_schema, .doc = "files and folders (\"model/\") kept for the stages that need it"},
	{"checkpoint", &schema_path, .doc = "a folder that outlives an attempt"},
	{"secrets", &secrets_schema, .doc = "names of secrets, given as environment variables"},
	{"resources", &resources_schema, .doc = "cpu, memory, gpu"},
	{"network", &network_schema, .doc = "none or host", .fallback = "none"},
	{"timeout", &timeout_schema, .doc = "the longest an attempt may take", .fallback = "1h"},
	{"retry", &retry_schema, .doc = "what to try again, and how often"},
};

const struct schema *stage_schema_new(struct arena *arena, const struct stage_kind *const *kinds)
{
	struct schema *schema = arena_alloc(arena, sizeof(*schema));
	struct schema_field *fields;
	size_t n = ARRAY_SIZE(stage_fields), n_kinds = 0;

	while (kinds[n_kinds])
		n_kinds++;
	fields = arena_alloc(arena, (n + n_kinds + 1) * sizeof(*fields));
	memcpy(fields, stage_fields, sizeof(stage_fields));
	for (size_t i = 0; i < n_kinds; i++) /* bodies are checked apart, since they may hold what is filled in later */
		fields[n + i] = (struct schema_field){kinds[i]->name, &schema_any, .doc = kinds[i]->doc};
	*schema = (struct schema){SCHEMA_STRUCT, .fields = fields};
	return schema;
}

/* ---- checks behind the schema ---- */

static void check_timeout(const struct yaml_node *timeout, struct diag_list *diags)
{
	uint64_t ms;

	if (yaml_duration_ms(timeout, &ms) && (ms < 1000 || ms > MAX_TIMEOUT_MS))
		yaml_error(diags, timeout, "out-of-range", NULL, "a timeout lies between 1s and 30d");
}

static void check_gpu(const struct yaml_node *node, struct diag_list *diags)
{
	int64_t n;

	if (yaml_int(node, &n) && n > 0)
		yaml_error(diags, node, "unsupported", NULL, "stages with gpu are not available in this build");
}

static bool exit_cause(const char *text)
{
	unsigned value = 0;

	if (strncmp(text, "exit:", 5) != 0)
		return false;
	for (const char *p = text + 5; *p && value < 1000; p++)
		value = isdigit((unsigned char)*p) ? value * 10 + (unsigned)(*p - '0') : 1000;
	return value >= 1 && value <= 255;
}

static char budget_of(const char *cause)
{
	static const char budgets[] = {
#define X(name, text, exit_status, budget, doc) budget,
		OUTCOMES(X)
#undef X
	};
	enum outcome outcome;

	if (exit_cause(cause))
		return 'u';
	return outcome_from_name(cause, &outcome) ? budgets[outcome] : '-';
}

static void check_cause(const struct yaml_node *item, struct diag_list *diags)
{
	static const char *const causes[] = {"failed", "timeout", "oom", "infra", "preempted", "lost"};
	const char *near;
	char hint[60];

	if (budget_of(item->text) != '-')
		return;
	near = nearest_word(item->text, causes, ARRAY_SIZE(causes));
	snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near ? near : "");
	yaml_error(diags, item, "retry", near ? hint : "failed, timeout, oom, infra, preempted, lost or exit:1 to exit:255",
		   "\"%s\" is nothing that can be tried again", item->text);
}

bool is_variable_name(const char *text)
{
	if (!(isalpha((unsigned char)text[0]) || text[0] == '_'))
		return false;
	for (const char *p = text; *p; p++) {
		if (!(isalnum((unsigned char)*p) || *p == '_'))
			return false;
	}
	return true;
}

static bool is_reserved(const char *name)
{
	return strcmp(name, "CI") == 0 || strncmp(name, "CI_", 3) == 0 || strncmp(name, "PENSTOCK_", 9) == 0;
}

void check_env(const struct yaml_node *env, struct diag_list *diags)
{
	for (size_t i = 0; env && env->kind == YAML_MAPPING && i < env->n; i++) {
		const char *name = env->keys[i]->text;

		if (has_placeholder(name))
			continue; /* told by check_placeholders() */
		if (!is_variable_name(name))
			yaml_error(diags, env->keys[i], "bad-name", "letters, digits and \"_\", starting with a letter or \"_\"",
				   "\"%s\" cannot name an environment variable", name);
		else if (is_reserved(name))
			yaml_error(diags, env->keys[i], "bad-name", "names CI, CI_... and PENSTOCK_... belong to Penstock",
				   "environment variable \"%s\" is set by Penstock", name);
	}
}

static void check_secrets(struct parsing *parsing, const struct yaml_node *stage, const struct yaml_node *secrets)
{
	const struct yaml_node *const *items = secrets && secrets->kind == YAML_SCALAR ? &secrets : NULL;
	size_t n = items ? 1 : 0;

	if (secrets && secrets->kind == YAML_SEQUENCE) {
		items = (const struct yaml_node *const *)secrets->values;
		n = secrets->n;
	}
	for (size_t i = 0; i < n && i < 64; i++) {
		const char *name = yaml_text(items[i], NULL);

		if (!name || has_placeholder(name))
			continue;
		if (!is_variable_name(name))
			yaml_error(parsing->diags, items[i], "bad-name", "letters, digits and \"_\", starting with a letter or \"_\"",
				   "\"%s\" cannot name a secret", name);
		else if (is_reserved(name))
			yaml_error(parsing->diags, items[i], "bad-name", NULL, "environment variable \"%s\" is set by Penstock", name);
		else if (yaml_get(yaml_get(stage, "env"), name) || yaml_get(parsing->env, name))
			yaml_error(parsing->diags, items[i], "duplicate", NULL, "\"%s\" is both a secret and a variable of env", name);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(yaml_text(items[j], ""), name) == 0) {
				yaml_error(parsing->diags, items[i], "duplicate", NULL, "secret \"%s\" is listed twice", name);
				break;
			}
		}
	}
}

/* ---- reading ---- */

static void read_retry(struct arena *arena, const struct yaml_node *node, struct retry *retry)
{
	const struct yaml_node *on = yaml_get(node, "on");
	int64_t n;
	bool infra = false;

	if (yaml_int(node, &n) || yaml_int(yaml_get(node, "limit"), &n))
		retry->limit = n > 0 ? (unsigned)n : 0;
	if (on)
		retry->on = read_globs(arena, on);
	for (size_t i = 0; i < retry->on.n; i++)
		infra = infra || budget_of(retry->on.items[i]) == 'i';
	if (infra)
		retry->infra_limit = retry->limit;
	if (yaml_int(yaml_get(node, "infra_limit"), &n))
		retry->infra_limit = n > 0 ? (unsigned)n : 0;
}

static struct retry retry_of(struct parsing *parsing, const struct yaml_node *node)
{
	static const char *const causes[] = {"failed", "timeout", "oom"};
	struct retry retry = {.on = {causes, ARRAY_SIZE(causes)}, .infra_limit = DEFAULT_INFRA_RETRIES};

	read_retry(parsing->arena, yaml_get(parsing->defaults, "retry"), &retry);
	read_retry(parsing->arena, yaml_get(node, "retry"), &retry);
	return retry;
}

static void overlay(struct name_value *env, size_t *n, const struct yaml_node *node)
{
	for (size_t i = 0; node && node->kind == YAML_MAPPING && i < node->n && i < ENV_MAX; i++) {
		const char *name = node->keys[i]->text;
		size_t at = 0;

		while (at < *n && strcmp(env[at].name, name) != 0)
			at++;
		env[at] = (struct name_value){name, yaml_text(node->values[i], "")};
		if (at == *n)
			(*n)++;
	}
}

static void read_env(struct parsing *parsing, const struct yaml_node *node, struct stage *stage)
{
	const struct yaml_node *own = yaml_get(node, "env");
	size_t room = (parsing->env ? parsing->env->n : 0) + (own ? own->n : 0);
	struct name_value *env = arena_alloc(parsing->arena, ((room < 2 * ENV_MAX ? room : 2 * ENV_MAX) + 1) * sizeof(*env));

	overlay(env, &stage->n_env, parsing->env);
	overlay(env, &stage->n_env, own);
	stage->env = env;
}

static void read_resources(const struct yaml_node *resources, struct stage *stage)
{
	int64_t n;
	uint64_t size;

	if (yaml_int(yaml_get(resources, "cpu"), &n) && n > 0 && n <= 4096)
		stage->cpu = (unsigned)n;
	if (yaml_int(yaml_get(resources, "gpu"), &n) && n > 0 && n <= 64)
		stage->gpu = (unsigned)n;
	if (yaml_size_bytes(yaml_get(resources, "memory"), &size))
		stage->memory_bytes = size;
}

static const struct stage_kind no_kind = {.name = "", .doc = "", .schema = &schema_any};

static void read_fields(struct parsing *parsing, const struct yaml_node *node, struct stage *stage)
{
	struct globs list;

	stage->node = stage->body = node;
	stage->kind = no_kind.name;
	stage->kind_row = &no_kind;
	read_env(parsing, node, stage);
	stage->inputs = read_globs(parsing->arena, yaml_get(node, "inputs"));
	list = read_globs(parsing->arena, yaml_get(node, "outputs"));
	stage->outputs = list.items;
	stage->n_outputs = list.n;
	list = read_globs(parsing->arena, yaml_get(node, "secrets"));
	stage->secrets = list.items;
	stage->n_secrets = list.n;
	stage->checkpoint = yaml_text(yaml_get(node, "checkpoint"), NULL);
	stage->timeout_ms = DEFAULT_TIMEOUT_MS;
	yaml_duration_ms(yaml_get(parsing->defaults, "timeout"), &stage->timeout_ms);
	yaml_duration_ms(yaml_get(node, "timeout"), &stage->timeout_ms);
	stage->retry = retry_of(parsing, node);
	read_resources(yaml_get(node, "resources"), stage);
	stage->network = strcmp(yaml_text(yaml_get(node, "network"), "none"), "host") == 0;
	stage->when = read_when(parsing->arena, yaml_get(node, "when"));
}

static const char *kinds_text(struct parsing *parsing)
{
	cleanup_buf struct buf out;

	buf_init(&out, 1000);
	for (size_t i = 0; parsing->kinds[i]; i++) {
		if (!parsing->kinds[i]->unavailable)
			buf_addf(&out, "%s%s", out.len ? ", " : "", parsing->kinds[i]->name);
	}
	return arena_strdup(parsing->arena, out.data);
}

/* Somebody wrote `valdate`: the unknown key is told with what it was meant to be, and that is enough. */
static bool nearly_has_body(struct parsing *parsing, const struct yaml_node *node)
{
	const char *names[32];
	size_t n = 0;

	for (; parsing->kinds[n] && n < ARRAY_SIZE(names); n++)
		names[n] = parsing->kinds[n]->name;
	for (size_t i = 0; i < node->n && i < 64; i++) {
		if (nearest_word(node->keys[i]->text, names, n))
			return true;
	}
	return false;
}

static void read_body(struct parsing *parsing, const struct yaml_node *key, const struct yaml_node *node, struct stage *stage)
{
	for (size_t i = 0; parsing->kinds[i]; i++) {
		const struct stage_kind *kind = parsing->kinds[i];
		const struct yaml_node *body = yaml_get(node, kind->name), *at = yaml_get_key(node, kind->name);

		if (!body)
			continue;
		if (stage->kind_row != &no_kind) {
			const struct yaml_node *other = yaml_get_key(node, stage->kind);

			if (other->line > at->line || (other->line == at->line && other->column > at->column))
				at = other;
			yaml_error(parsing->diags, at, "body", "split it into two stages, one needing the other",
				   "stage \"%s\" has both \"%s\" and \"%s\"; a stage does exactly one thing", key->text,
				   at == other ? kind->name : stage->kind, at->text);
			continue;
		}
		stage->kind = kind->name;
		stage->kind_row = kind;
		stage->body = body;
		if (kind->unavailable)
			yaml_error(parsing->diags, at, "unsupported", NULL, "%s", kind->unavailable);
	}
	if (stage->kind_row == &no_kind && !nearly_has_body(parsing, node))
		yaml_error(parsing->diags, key, "body", arena_printf(parsing->arena, "give it one of %s", kinds_text(parsing)),
			   "stage \"%s\" does nothing", key->text);
}

static const struct yaml_node *fill_cell(struct parsing *parsing, const struct yaml_node *node, const struct cell *cell, const char *id)
{
	struct fill_value *values = arena_alloc(parsing->arena, (cell->n + 1) * sizeof(*values));
	struct fill fill = {
		.arena = parsing->arena, .diags = parsing->diags, .spaces = FILL_MATRIX, .stage = id,
		.values = {values}, .n_values = {cell->n},
		.budget = &parsing->budget,
	};

	for (size_t i = 0; i < cell->n; i++)
		values[i] = (struct fill_value){cell->values[i].name, cell->values[i].value, cell->quoted[i]};
	return fill_node(&fill, node);
}

/* True if nothing is wrong with the text of this cell. */
static bool check_cell(struct parsing *parsing, const struct yaml_node *key, const struct yaml_node *node, struct stage *stage)
{
	bool right;

	if (node->kind != YAML_MAPPING) {
		yaml_error(parsing->diags, node->kind == YAML_NULL ? key : node, "wrong-type", "for example {run: make test}",
			   "stage \"%s\" needs a mapping", key->text);
		return false;
	}
	if (node->n > STAGE_MAX_KEYS) {
		yaml_error(parsing->diags, key, "too-large", NULL, "stage \"%s\" has %zu keys, at most %d are allowed", key->text, node->n,
			   STAGE_MAX_KEYS);
		return false;
	}
	right = check_body(parsing->stage_schema, NULL, node, parsing->diags);
	check_env(yaml_get(node, "env"), parsing->diags);
	check_secrets(parsing, node, yaml_get(node, "secrets"));
	read_body(parsing, key, node, stage);
	if (stage->kind_row == &no_kind || stage->kind_row->unavailable)
		right = false;
	if (stage->kind_row != &no_kind && stage->kind_row->schema &&
	    !check_body(stage->kind_row->schema, yaml_get_key(node, stage->kind), stage->body, parsing->diags))
		right = false;
	return right;
}

static struct draft *add_draft(struct parsing *parsing, const struct yaml_node *key, const struct cell *cell)
{
	struct draft *draft;
	struct stage *stage;

	parsing->drafts = xgrow(parsing->drafts, &parsing->capacity, parsing->n + 1, sizeof(*parsing->drafts));
	draft = &parsing->drafts[parsing->n++];
	*draft = (struct draft){.key = key, .broken = true};
	stage = &draft->stage;
	stage->id = cell_id(parsing->arena, key->text, cell);
	stage->name = key->text;
	stage->matrix = cell->values;
	stage->n_matrix = cell->n;
	if (strlen(stage->id) > STAGE_MAX_ID)
		yaml_error(parsing->diags, key, "too-large", "use fewer or shorter matrix values",
			   "the name \"%.60s...\" of a cell has more than %d bytes",
			   stage->id, STAGE_MAX_ID);
	return draft;
}

void read_stage(struct parsing *parsing, const struct yaml_node *key, const struct yaml_node *node)
{
	struct cell *cells;
	size_t n, errors;
	bool failed;

	check_placeholders(parsing, node);
	n = matrix_cells(parsing, key->text, yaml_get(node, "matrix"), &cells);
	errors = diag_errors(parsing->diags);
	failed = n == 0;
	if (failed) /* others may need it, and its own mistakes are told already: keep it as one stage without values */
		n = 1;
	if (parsing->n + n > PIPELINE_MAX_STAGES) {
		if (!parsing->too_many)
			yaml_error(parsing->diags, key, "too-large", NULL, "the pipeline has more than %d stages after its matrixes are expanded",
				   PIPELINE_MAX_STAGES);
		parsing->too_many = true;
		n = PIPELINE_MAX_STAGES - parsing->n;
	}
	for (size_t i = 0; i < n; i++) {
		struct draft *draft = add_draft(parsing, key, &cells[i]);
		const struct yaml_node *filled = failed ? node : fill_cell(parsing, node, &cells[i], draft->stage.id);

		read_fields(parsing, filled, &draft->stage);
		if (diag_errors(parsing->diags) < errors + CELL_MAX_ERRORS)
			draft->broken = !check_cell(parsing, key, filled, &draft->stage);
	}
}
