#include "gates/sources/command/command.h"

#include "base/alloc.h"
#include "base/child.h"
#include "gates/sources/json/document.h"
#include "gates/sources/source_driver.h"
#include "gates/sources/template.h"

#include <assert.h>
#include <string.h>

enum { ARGUMENT_MAX = 16 * 1024, DEFAULT_TIMEOUT_MS = 30000 };

static const char *argument_problem(const char *text, bool program)
{
	unsigned names = 0;

	if (template_names(text, &names, NULL) < 0)
		return "holds a \"{{\" that names nothing; there are arm, version, image, instances, addresses, window, from, to";
	if (program && (names || !*text))
		return "is the program: it is never filled in";
	return NULL;
}
static void check_run(const struct yaml_node *node, struct diag_list *diags)
{
	for (size_t i = 0; node->kind == YAML_SEQUENCE && i < node->n; i++) {
		const char *problem = argument_problem(yaml_text(node->values[i], ""), i == 0);
		if (problem)
			yaml_error(diags, node->values[i], "metric_source", NULL, "the argument %s", problem);
	}
}
static const struct schema run_schema = {.type = SCHEMA_LIST, .item = &schema_string, .has_min = true, .min = 1, .check = check_run};
static const struct schema_field fields[] = {
	{"run", &run_schema, .required = true,
	 .doc = "program and arguments, run without a shell; {{version}} and its like are filled into arguments"},
	{"timeout", &schema_duration, .doc = "then it is killed, with what it started", .fallback = "30s"},
	{.name = NULL},
};
static const struct schema config_schema = {
	.type = SCHEMA_STRUCT, .doc = "a program of the operator's that writes a JSON document to its standard output", .fields = fields};

struct command {
	struct source base;
	struct loop *loop;
	char *name;
	struct strlist run;
	uint64_t timeout_ms;
	unsigned names; /* templates in the arguments */
};

/* What a child calls back; it outlives a watch that ends before it. */
struct running {
	struct command_watch *watch; /* NULL: nobody waits any more */
	struct child *child;
	size_t which;
};

struct command_watch {
	struct watch_core core;
	struct command *source;
	struct running *running[2];
	json_t *documents[2];
	struct error *failed; /* the first failure; the reading ends when no child is left */
	struct arena *arms_arena;
	struct source_arm arms[2];
	char *outline; /* of the command, for messages */
};

static const char *check(const struct analysis_metric *metric, char *space, size_t size)
{
	return document_check(metric, false, space, size);
}

static int open_source(const struct source_config *config, struct loop *loop, struct source **ret, struct error **err)
{
	const struct yaml_node *run = yaml_get(config->body, "run");
	unsigned all = 0;

	if (!run || run->kind != YAML_SEQUENCE || run->n == 0)
		return error_set(err, ERROR_INVALID, 0, "metric source \"%s\": `run` is a list of a program and its arguments", config->name);
	for (size_t i = 0; i < run->n; i++) {
		unsigned names = 0;
		const char *problem = argument_problem(yaml_text(run->values[i], ""), i == 0);
		if (problem)
			return error_set(err, ERROR_INVALID, 0, "metric source \"%s\": argument %zu %s", config->name, i, problem);
		if (template_names(yaml_text(run->values[i], ""), &names, err) < 0)
			return -1;
		all |= names;
	}
	struct command *source = xcalloc(1, sizeof(*source));
	source->base.ops = &command_source;
	source->loop = loop;
	source->name = xstrdup(config->name);
	source->names = all;
	source->timeout_ms = DEFAULT_TIMEOUT_MS;
	yaml_duration_ms(yaml_get(config->body, "timeout"), &source->timeout_ms);
	for (size_t i = 0; i < run->n; i++)
		strlist_add(&source->run, yaml_text(run->values[i], ""));
	*ret = &source->base;
	return 0;
}

static void close_source(struct source *base)
{
	struct command *source = (struct command *)base;

	if (!source)
		return;
	strlist_done(&source->run);
	free(source->name);
	free(source);
}

static bool is_shared(const struct command *source)
{
	return !(source->names & TEMPLATE_OF_ARM);
}

static int watch_metric(struct source *base, const struct analysis_metric *metric, struct source_watch **ret, struct error **err)
{
	struct command *source = (struct command *)base;
	char space[512];
	const char *problem = source_check(&command_source, metric, space, sizeof(space));

	if (!problem)
		problem = document_check(metric, is_shared(source), space, sizeof(space));
	if (problem)
		return error_set(err, ERROR_INVALID, 0, "metric source \"%s\": %s: %s", source->name, metric->metric, problem);
	struct command_watch *watch = xcalloc(1, sizeof(*watch));
	watch_init(&watch->core, &command_source, source->loop, source->name, metric);
	watch->source = source;
	watch->outline = xstrdup(source->run.items[0]);
	*ret = &watch->core.base;
	return 0;
}

static void forget_documents(struct command_watch *watch)
{
	for (size_t i = 0; i < 2; i++)
		json_decref(STEAL(watch->documents[i]));
	arena_free(STEAL(watch->arms_arena));
}

static void unwatch(struct source_watch *base)
{
	struct command_watch *watch = (struct command_watch *)base;

	if (!watch)
		return;
	for (size_t i = 0; i < 2; i++) {
		if (!watch->running[i])
			continue;
		watch->running[i]->watch = NULL;
		child_cancel(watch->running[i]->child);
	}
	forget_documents(watch);
	error_free(watch->failed);
	watch_done(&watch->core);
	free(watch->outline);
	free(watch);
}

static int take_documents(struct command_watch *watch, struct error **err)
{
	for (size_t arm = 0; arm < 2; arm++) {
		const json_t *document = watch->documents[is_shared(watch->source) ? 0 : arm];
		watch->core.arms[arm].windowed = watch->source->names & TEMPLATE_OF_SPAN;
		if (document_take(document, watch->core.metric, &watch->arms[arm], &watch->core.span, &watch->core.arms[arm], err) < 0)
			return error_context(err, "%s", watch->outline);
	}
	return 0;
}

static void finish(struct command_watch *watch)
{
	struct error *err = STEAL(watch->failed);

	if (!err) {
		int result = take_documents(watch, &err);
		assert((result < 0) == (err != NULL));
	}
	forget_documents(watch);
	watch_finish(&watch->core, err);
}

static int read_output(const struct command *source, const struct child_result *result, json_t **ret, struct error **err)
{
	if (result->timed_out)
		return error_set(err, ERROR_TIMEOUT, 0, "%s: did not end within %llu ms and was killed", source->run.items[0],
				 (unsigned long long)source->timeout_ms);
	if (child_expect_success(result, source->run.items[0], err) < 0)
		return -1;
	if (result->out_len > DOCUMENT_MAX_BYTES)
		return error_set(err, ERROR_TOO_LARGE, 0, "%s: wrote more than %d bytes", source->run.items[0], DOCUMENT_MAX_BYTES);
	if (json_parse(result->out, result->out_len, ret, err) < 0)
		return error_context(err, "%s: standard output is no JSON", source->run.items[0]);
	return 0;
}

static void ended(void *arg, const struct child_result *result)
{
	struct running *running = arg;
	struct command_watch *watch = running->watch;
	size_t which = running->which;
	cleanup_error struct error *err = NULL;

	free(running);
	if (!watch)
		return;
	watch->running[which] = NULL;
	if (read_output(watch->source, result, &watch->documents[which], &err) < 0 && !watch->failed)
		watch->failed = STEAL(err);
	if (!watch->running[0] && !watch->running[1])
		finish(watch);
}

static int start_one(struct command_watch *watch, size_t which, struct error **err)
{
	const struct command *source = watch->source;
	cleanup_strlist struct strlist argv = {0};

	for (size_t i = 0; i < source->run.n; i++) {
		struct buf argument cleanup_buf;
		buf_init(&argument, ARGUMENT_MAX);
		if (template_expand(source->run.items[i], &watch->arms[which], &watch->core.span, TEMPLATE_PLAIN, &argument, err) < 0)
			return -1;
		strlist_add(&argv, argument.data);
	}
	/* One byte more than allowed, to tell a full output from one that was cut. */
	struct child_spec spec = {.argv = strlist_items(&argv), .max_output = DOCUMENT_MAX_BYTES + 1, .timeout_ms = source->timeout_ms};
	struct running *running = xcalloc(1, sizeof(*running));
	running->watch = watch;
	running->which = which;
	if (child_start(source->loop, &spec, ended, running, &running->child, err) < 0) {
		free(running);
		return -1;
	}
	watch->running[which] = running;
	return 0;
}

static void read_metric(struct source_watch *base, const struct source_arm arms[2], const struct source_span *span, source_done_fn done, void *arg)
{
	struct command_watch *watch = (struct command_watch *)base;
	const struct command *source = watch->source;

	watch_begin(&watch->core, span, done, arg);
	watch->arms_arena = arena_new();
	for (size_t arm = 0; arm < 2; arm++)
		source_arm_copy(&arms[arm], watch->arms_arena, &watch->arms[arm]);
	watch->core.not_due = (source->names & TEMPLATE_OF_SPAN) && (span->from_ms <= 0 || span->from_ms >= span->to_ms);
	if (watch->core.not_due || watch_lacks_copies(&watch->core, source->names, arms)) {
		forget_documents(watch);
		watch_finish(&watch->core, NULL);
		return;
	}
	for (size_t i = 0; i < (is_shared(source) ? 1 : 2) && !watch->failed; i++)
		if (start_one(watch, i, &watch->failed) < 0)
			break;
	if (!watch->running[0] && !watch->running[1])
		finish(watch);
}

const struct source_ops command_source = {
	.name = "command",
	.doc = "runs a program of the operator's and reads numbers from the JSON document that it writes; selectors are JSON pointers",
	.config = &config_schema,
	.check = check,
	.open = open_source,
	.close = close_source,
	.watch = watch_metric,
	.read = read_metric,
	.unwatch = unwatch,
};
