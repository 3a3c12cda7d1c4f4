/* The contract of every kind of stage, over the rows of the registry; and the kind `run`. */
#include "stages/stage.h"

#include "stages/run/run.h"
#include "tests/support/support.h"

static void every_kind_keeps_the_contract(void **state)
{
	(void)state;
	const struct stage_kind *const *kinds = stage_kinds();
	size_t n = 0;
	for (const struct stage_ops *const *row = stage_registry(); *row; row++, n++) {
		const struct stage_kind *kind = &(*row)->kind;
		assert_non_null(kind->name);
		assert_true(kind->name[0] && strspn(kind->name, "abcdefghijklmnopqrstuvwxyz_") == strlen(kind->name));
		assert_true(kind->doc && strlen(kind->doc) > 10);
		assert_non_null(kind->schema);
		assert_non_null((*row)->prepare);
		assert_ptr_equal(stage_find(kind->name), *row);
		assert_ptr_equal(kinds[n], kind);
		for (const struct stage_ops *const *other = stage_registry(); other < row; other++)
			assert_string_not_equal((*other)->kind.name, kind->name);
		if (kind->unavailable)
			assert_non_null(strstr(kind->unavailable, "not available in this build"));
	}
	assert_null(kinds[n]);
	assert_null(stage_find("nonsense"));
}

static void every_body_of_the_language_has_its_row(void **state)
{
	(void)state;
	static const char *const bodies[] = {"run", "validate", "score", "gate", "scan", "build", "chart", "deploy", "approve"};
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++)
		assert_non_null(stage_find(bodies[i]));
}

/* Every schema's fields are documented, wherever they hang. */
static void check_documented(const struct schema *schema, int depth)
{
	if (!schema || depth > 8)
		return;
	for (const struct schema_field *field = schema->fields; schema->type == SCHEMA_STRUCT && field && field->name; field++) {
		if (!field->doc || !field->doc[0])
			fail_msg("the field \"%s\" has no documentation", field->name);
		check_documented(field->schema, depth + 1);
	}
	check_documented(schema->item, depth + 1);
	check_documented(schema->scalar, depth + 1);
	check_documented(schema->list, depth + 1);
	check_documented(schema->mapping, depth + 1);
}

static void every_field_is_documented(void **state)
{
	(void)state;
	for (const struct stage_ops *const *row = stage_registry(); *row; row++)
		check_documented((*row)->kind.schema, 0);
}

/* ---- through the language: parse, plan, prepare ---- */

struct prepared {
	struct diag_list *diags;
	struct pipeline *pipeline;
	struct plan *plan;
	struct arena *arena;
	struct stage_work work;
	char *told;
};

static void prepared_done(struct prepared *p)
{
	stage_work_done(&p->work);
	plan_free(p->plan);
	pipeline_free(p->pipeline);
	diag_list_free(p->diags);
	arena_free(p->arena);
	free(p->told);
}
#define cleanup_prepared __attribute__((cleanup(prepared_done)))

static void tell(struct prepared *p)
{
	struct buf out;
	buf_init(&out, 65536);
	for (size_t i = 0; i < diag_count(p->diags); i++) {
		const struct diag *diag = diag_at(p->diags, i);
		buf_addf(&out, "%u:%u: %s%s%s\n", diag->line, diag->column, diag->message, diag->hint ? "; " : "", diag->hint ? diag->hint : "");
	}
	p->told = buf_steal(&out);
}

/* Prepares the stage named `x`; told is empty if all went well. */
static struct prepared prepare(const char *text)
{
	struct prepared p = {.diags = diag_list_new(), .arena = arena_new()};
	const struct event_facts event = {.kind = EVENT_PUSH, .repository = "r", .branch = "main", .ref = "refs/heads/main",
					  .commit = "0123456789012345678901234567890123456789", .author = "a", .message = "m", .run_number = 1};
	p.pipeline = pipeline_parse("p.yml", text, strlen(text), stage_kinds(), p.diags);
	if (p.pipeline && !diag_errors(p.diags))
		p.plan = plan_new(p.pipeline, &event, p.diags);
	tell(&p);
	if (!p.plan)
		return p;
	long at = pipeline_find(p.pipeline, "x");
	assert_true(at >= 0);
	const struct stage_facts facts = {.planned = &p.plan->stages[at], .event = &event, .arena = p.arena};
	const struct stage_ops *ops = stage_find(p.pipeline->stages[at].kind);
	cleanup_error struct error *err = NULL;
	assert_ok(ops->prepare(&facts, &p.work, &err), err);
	return p;
}

static void check_argv(const struct strlist *argv, const char *expected)
{
	cleanup_buf struct buf out;
	buf_init(&out, 65536);
	for (size_t i = 0; i < argv->n; i++)
		buf_addf(&out, "%s%s", i ? "|" : "", argv->items[i]);
	assert_string_equal(out.data, expected);
}

#define HEAD "version: 1\nname: n\nstages:\n"

static void run_gives_its_text_to_the_shell_as_it_is_written(void **state)
{
	(void)state;
	cleanup_prepared struct prepared one = prepare(HEAD "  x: {run: \"echo '$(date)' && make\"}\n");
	assert_string_equal(one.told, "");
	check_argv(&one.work.argv, "/bin/sh|-ec|echo '$(date)' && make");
	assert_int_equal(one.work.type, WORK_COMMAND);
	assert_false(one.work.native);
	cleanup_prepared struct prepared list = prepare(HEAD "  x:\n    run:\n      - cd src\n      - \"make; --x\"\n");
	assert_string_equal(list.told, "");
	check_argv(&list.work.argv, "/bin/sh|-ec|cd src\nmake; --x\n");
}

static void run_without_text_is_a_mistake(void **state)
{
	(void)state;
	cleanup_prepared struct prepared empty = prepare(HEAD "  x: {run: \"  \"}\n");
	assert_string_equal(empty.told, "4:12: \"run\" has nothing to run\n");
	cleanup_prepared struct prepared list = prepare(HEAD "  x: {run: []}\n");
	assert_int_equal(diag_errors(list.diags), 1);
	cleanup_prepared struct prepared mapping = prepare(HEAD "  x: {run: {a: b}}\n");
	assert_int_equal(diag_errors(mapping.diags), 1);
}

static void score_becomes_its_command(void **state)
{
	(void)state;
	cleanup_prepared struct prepared p = prepare(
		HEAD "  x:\n    score: {predictions: out/p.csv, task: binary, label: y, prediction: p, metrics: [roc_auc, ece], slices: [c, d]}\n");
	assert_string_equal(p.told, "");
	check_argv(&p.work.argv, STAGE_BINARY "|score|--predictions|out/p.csv|--task|binary|--label|y|--prediction|p|--metrics|roc_auc|--metrics|ece|"
					      "--slice|c|--slice|d|--format|json");
	check_argv(&p.work.against_argv, "--against|" STAGE_IN "/baseline-predictions.csv");
	assert_string_equal(p.work.wants_baseline_file, "out/p.csv");
	assert_true(p.work.native);
}

static void mistakes_in_score_are_told_at_their_place(void **state)
{
	(void)state;
	static const struct { const char *body, *told; } cases[] = {
		{"{predictions: p.csv, task: multiclass, label: y, prediction: p}",
		 "5:39: the task multiclass is not available in this build; use binary or regression\n"},
		{"{predictions: p.csv, task: binary, label: y, prediction: p, metrics: [roc_auk, rmse]}",
		 "5:82: there is no metric \"roc_auk\"; did you mean \"roc_auc\"?\n"},
		{"{predictions: p.csv, task: binary, label: y, prediction: p, metrics: [roc_auc, rmse]}",
		 "5:91: rmse is a metric of regression tasks, and this one is binary\n"},
		{"{predictions: ../p.csv, task: binary, label: y, prediction: p}",
		 "5:26: \"predictions\" must be a relative path without \"..\", not \"../p.csv\"\n"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *text = xasprintf(HEAD "  x:\n    score: %s\n", cases[i].body);
		cleanup_prepared struct prepared p = prepare(text);
		assert_string_equal(p.told, cases[i].told);
	}
}

static void gate_becomes_its_command(void **state)
{
	(void)state;
	cleanup_prepared struct prepared p = prepare(HEAD "  x:\n    gate:\n      - roc_auc >= 0.85\n      - {metric: mae, no_worse_than: production}\n");
	assert_string_equal(p.told, "");
	check_argv(&p.work.argv, STAGE_BINARY "|gate|--rules|" STAGE_IN "/rules.json|--metrics|" STAGE_IN
					      "/metrics.json|--format|json|--baseline-if-present|" STAGE_IN "/baseline.json");
	assert_int_equal(p.work.n_in_files, 1);
	assert_string_equal(p.work.in_files[0].name, "rules.json");
	assert_non_null(strstr(p.work.in_files[0].bytes, "\"roc_auc >= 0.85\""));
	assert_true(p.work.wants_metrics && p.work.wants_baseline);
	cleanup_prepared struct prepared alone = prepare(HEAD "  x: {gate: roc_auc >= 0.85}\n");
	assert_string_equal(alone.told, "");
	assert_false(alone.work.wants_baseline);
}

static void mistakes_in_rules_are_told_at_their_place(void **state)
{
	(void)state;
	static const struct { const char *rule, *told; } cases[] = {
		{"roc_auc > 0.5", "6:9: \"roc_auc > 0.5\": expected \"METRIC >= NUMBER\" or \"METRIC <= NUMBER\"\n"},
		{"{metric: roc_auk, at_least: 1}", "6:18: unknown metric \"roc_auk\"; did you mean \"roc_auc\"?\n"},
		{"{metric: mae, at_most: lots}", "6:32: at_most: expected a number\n"},
		{"{metric: mae, at_mots: 3}", "6:23: unknown key \"at_mots\" in an item of \"gate\"; did you mean \"at_most\"?\n"},
		{"{metric: mae}", "6:9: it asks nothing: give at_least, at_most or no_worse_than\n"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *text = xasprintf(HEAD "  x:\n    gate:\n      - %s\n", cases[i].rule);
		cleanup_prepared struct prepared p = prepare(text);
		assert_string_equal(p.told, cases[i].told);
	}
}

static void what_this_build_does_not_do_is_refused(void **state)
{
	(void)state;
	cleanup_prepared struct prepared p = prepare(HEAD "  x: {scan: {lockfiles: [requirements.txt]}}\n");
	assert_non_null(strstr(p.told, "scan stages are not available in this build"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_keeps_the_contract),
		cmocka_unit_test(every_body_of_the_language_has_its_row),
		cmocka_unit_test(every_field_is_documented),
		cmocka_unit_test(run_gives_its_text_to_the_shell_as_it_is_written),
		cmocka_unit_test(run_without_text_is_a_mistake),
		cmocka_unit_test(score_becomes_its_command),
		cmocka_unit_test(mistakes_in_score_are_told_at_their_place),
		cmocka_unit_test(gate_becomes_its_command),
		cmocka_unit_test(mistakes_in_rules_are_told_at_their_place),
		cmocka_unit_test(what_this_build_does_not_do_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
