/* What a pipeline without mistakes is read as. */
#include "tests/support/support.h"
#include "tests/unit/pipelines/fake_kinds.h"

#include "base/alloc.h"
#include "base/file.h"

static struct pipeline *parse(const char *text, const struct stage_kind *const *kinds)
{
	struct diag_list *diags = diag_list_new();
	struct pipeline *pipeline = pipeline_parse(".penstock/fraud.yml", text, strlen(text), kinds, diags);

	if (!pipeline) {
		struct buf out;

		buf_init(&out, 1 << 16);
		diag_print(diags, text, false, &out);
		fail_msg("%s", out.data);
	}
	diag_list_free(diags);
	return pipeline;
}

static const struct stage *find(const struct pipeline *pipeline, const char *name)
{
	long at = pipeline_find(pipeline, name);

	assert_true(at >= 0);
	return &pipeline->stages[at];
}

static void assert_list(const char *const *items, size_t n, const char *expected)
{
	struct buf out;

	buf_init(&out, 1 << 16);
	for (size_t i = 0; i < n; i++)
		buf_addf(&out, "%s%s", i ? "|" : "", items[i]);
	assert_string_equal(out.data, expected);
	buf_done(&out);
}

static char *read_whole(void)
{
	cleanup_error struct error *err = NULL;
	char *text = NULL;

	assert_ok(file_read(TEST_DATA "/pipelines/whole.yml", 1 << 20, &text, NULL, &err), err);
	return text;
}

/* Takes out the lines that start with `prefix`. */
static void drop_lines(char *text, const char *prefix)
{
	for (char *line = text; *line;) {
		size_t len = strcspn(line, "\n");

		len += line[len] == '\n';
		if (strncmp(line, prefix, strlen(prefix)) == 0)
			memmove(line, line + len, strlen(line + len) + 1);
		else
			line += len;
	}
}

static void the_whole_example_has_no_mistakes_but_what_is_not_available(void **state)
{
	cleanup_free char *text = read_whole();
	cleanup_diags struct diag_list *diags = diag_list_new();

	(void)state;
	assert_null(pipeline_parse("whole.yml", text, strlen(text), fake_kinds, diags));
	assert_int_equal(diag_count(diags), 3);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(diag_at(diags, i)->code, "unsupported");
	assert_string_equal(diag_at(diags, 0)->message, "\"schedule\" triggers are not available in this build");
	assert_string_equal(diag_at(diags, 1)->message, "\"drift\" triggers are not available in this build");
	assert_string_equal(diag_at(diags, 2)->message, "scan stages are not available in this build");
}

static void the_whole_example_fills_every_field(void **state)
{
	cleanup_free char *text = read_whole();

	(void)state;
	drop_lines(text, "  schedule:");
	drop_lines(text, "  drift:");
	cleanup_pipeline struct pipeline *pipeline = parse(text, fake_kinds_with_scan);
	assert_string_equal(pipeline->name, "fraud");
	assert_string_equal(pipeline->file, ".penstock/fraud.yml");
	assert_true(pipeline->has_on);
	assert_true(pipeline->on[EVENT_PUSH].enabled && pipeline->on[EVENT_PULL_REQUEST].enabled && pipeline->on[EVENT_TAG].enabled &&
		    pipeline->on[EVENT_MANUAL].enabled);
	assert_false(pipeline->on[EVENT_SCHEDULE].enabled || pipeline->on[EVENT_DRIFT].enabled);
	assert_list(pipeline->on[EVENT_PUSH].branches.items, pipeline->on[EVENT_PUSH].branches.n, "main");
	assert_list(pipeline->on[EVENT_PUSH].paths.items, pipeline->on[EVENT_PUSH].paths.n, "src/**|data/**|.penstock.yml");
	assert_list(pipeline->on[EVENT_TAG].tags.items, pipeline->on[EVENT_TAG].tags.n, "v*");
	assert_true(pipeline->concurrency.present);
	assert_string_equal(pipeline->concurrency.group, "fraud");
	assert_int_equal(pipeline->concurrency.limit, 1);
	assert_false(pipeline->concurrency.latest);
	assert_int_equal(pipeline->n_stages, 8);

	const struct stage *train = find(pipeline, "train");
	assert_string_equal(train->id, "train");
	assert_string_equal(train->kind, "run");
	assert_ptr_equal(train->kind_row, &fake_kind_run);
	assert_string_equal(train->body->text, "python3 src/train.py --out model/");
	assert_int_equal(train->n_needs, 2);
	assert_string_equal(pipeline->stages[train->needs[0]].name, "data");
	assert_string_equal(pipeline->stages[train->needs[1]].name, "unit");
	assert_int_equal(train->n_env, 1);
	assert_string_equal(train->env[0].name, "PYTHONHASHSEED");
	assert_string_equal(train->env[0].value, "0");
	assert_list(train->inputs.items, train->inputs.n, "src/**|data/train.csv");
	assert_list(train->outputs, train->n_outputs, "model/|out/predictions.csv|out/metrics.json");
	assert_string_equal(train->checkpoint, "ckpt/");
	assert_list(train->secrets, train->n_secrets, "HUB_TOKEN");
	assert_int_equal(train->timeout_ms, 2 * 3600 * 1000);
	assert_int_equal(find(pipeline, "unit")->timeout_ms, 30 * 60 * 1000);
	assert_int_equal(train->retry.limit, 1);
	assert_list(train->retry.on.items, train->retry.on.n, "infra|preempted");
	assert_int_equal(train->retry.infra_limit, 1);
	assert_int_equal(train->cpu, 2);
	assert_int_equal(train->memory_bytes, 4ull << 30);
	assert_int_equal(train->gpu, 0);
	assert_false(train->network);
	assert_false(train->when.present);

	const struct stage *release = find(pipeline, "release");
	assert_true(release->when.present);
	assert_list(release->when.branch.items, release->when.branch.n, "main");
	assert_list(release->when.event.items, release->when.event.n, "push|tag|drift");
}

static void a_small_pipeline_gets_the_defaults(void **state)
{
	cleanup_pipeline struct pipeline *pipeline = parse("stages: {a: {run: x}}", fake_kinds);
	const struct stage *a = find(pipeline, "a");

	(void)state;
	assert_string_equal(pipeline->name, "fraud"); /* from the file's name */
	assert_false(pipeline->has_on);
	assert_true(pipeline->on[EVENT_PUSH].enabled && pipeline->on[EVENT_MANUAL].enabled);
	assert_false(pipeline->on[EVENT_TAG].enabled || pipeline->on[EVENT_PULL_REQUEST].enabled);
	assert_false(pipeline->concurrency.present);
	assert_int_equal(a->timeout_ms, 3600 * 1000);
	assert_int_equal(a->retry.limit, 0);
	assert_int_equal(a->retry.infra_limit, 2);
	assert_list(a->retry.on.items, a->retry.on.n, "failed|timeout|oom");
	assert_int_equal(a->cpu + a->gpu + a->memory_bytes, 0);
	assert_null(a->checkpoint);
}

static void retry_has_two_budgets(void **state)
{
	cleanup_pipeline struct pipeline *pipeline = parse("defaults: {retry: {limit: 1, on: [infra, preempted]}}\n"
							   "stages:\n"
							   "  a: {retry: 3, run: x}\n"
							   "  b: {retry: {on: [oom, \"exit:75\"], infra_limit: 5}, run: x}\n"
							   "  c: {retry: {limit: 4, on: failed}, run: x}\n", fake_kinds);
	const struct stage *a = find(pipeline, "a"), *b = find(pipeline, "b"), *c = find(pipeline, "c");

	(void)state;
	assert_int_equal(a->retry.limit, 3);
	assert_int_equal(a->retry.infra_limit, 3);
	assert_list(a->retry.on.items, a->retry.on.n, "infra|preempted");
	assert_int_equal(b->retry.limit, 1);
	assert_int_equal(b->retry.infra_limit, 5);
	assert_list(b->retry.on.items, b->retry.on.n, "oom|exit:75");
	assert_int_equal(c->retry.limit, 4);
	assert_int_equal(c->retry.infra_limit, 1);
	assert_list(c->retry.on.items, c->retry.on.n, "failed");
}

/* ---- matrix ---- */

static const struct {
	const char *matrix, *ids;
} matrixes[] = {
	{"{lr: [0.1, 0.01]}", "t (lr=0.1)|t (lr=0.01)"},
	{"{a: [1, 2], b: [x, y]}", "t (a=1, b=x)|t (a=1, b=y)|t (a=2, b=x)|t (a=2, b=y)"},
	{"{a: [1, 2], b: [x, y], exclude: [{a: 1, b: y}]}", "t (a=1, b=x)|t (a=2, b=x)|t (a=2, b=y)"},
	{"{a: [1, 2], b: [x, y], exclude: [{b: y}]}", "t (a=1, b=x)|t (a=2, b=x)"},
	{"{a: [1, 2], include: [{a: 3}]}", "t (a=1)|t (a=2)|t (a=3)"},
	{"{a: [1, 2], include: [{a: 2, big: true}]}", "t (a=1)|t (a=2, big=true)"},
	{"{a: [1, 2], include: [{big: true}]}", "t (a=1, big=true)|t (a=2, big=true)"},
	{"{a: [1, 2], include: [{a: 3, big: true}, {a: 3, big: no}]}", "t (a=1)|t (a=2)|t (a=3, big=true)|t (a=3, big=no)"},
	{"{include: [{a: 1}, {b: 2}]}", "t (a=1)|t (b=2)"},
	{"{file: [a/b.csv, \"c d\"]}", "t (file=a_b.csv)|t (file=c d)"},
};

static void a_matrix_is_a_cross_product(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(matrixes) / sizeof(*matrixes); i++) {
		cleanup_free char *text = xasprintf("stages: {t: {matrix: %s, run: x}}", matrixes[i].matrix);
		cleanup_pipeline struct pipeline *pipeline = parse(text, fake_kinds);
		const char *ids[16];

		assert_true(pipeline->n_stages <= 16);
		for (size_t j = 0; j < pipeline->n_stages; j++) {
			ids[j] = pipeline->stages[j].id;
			assert_string_equal(pipeline->stages[j].name, "t");
		}
		assert_list(ids, pipeline->n_stages, matrixes[i].ids);
	}
}

static void cells_are_filled_and_needed(void **state)
{
	cleanup_pipeline struct pipeline *pipeline = parse(
		"stages:\n"
		"  train:\n"
		"    matrix: {lr: [0.1, 0.01], cpu: [1, 2]}\n"
		"    env: {LR: \"${{ matrix.lr }}\", BOTH: \"${{matrix.lr}}/${{  matrix.cpu  }}\"}\n"
		"    resources: {cpu: \"${{ matrix.cpu }}\", memory: \"${{ matrix.cpu }}Gi\"}\n"
		"    outputs: [\"m-${{ matrix.lr }}-${{ matrix.cpu }}/\"]\n"
		"    run: x\n"
		"  pick: {needs: [train], run: x}\n"
		"  one: {needs: [\"train (lr=0.01, cpu=2)\"], run: x}\n", fake_kinds);
	const struct stage *last = &pipeline->stages[3], *pick = find(pipeline, "pick"), *one = find(pipeline, "one");

	(void)state;
	assert_string_equal(last->id, "train (lr=0.01, cpu=2)");
	assert_int_equal(last->n_matrix, 2);
	assert_string_equal(last->matrix[1].name, "cpu");
	assert_string_equal(last->matrix[1].value, "2");
	assert_string_equal(last->env[0].value, "0.01");
	assert_string_equal(last->env[1].value, "0.01/2");
	assert_int_equal(last->cpu, 2);
	assert_int_equal(last->memory_bytes, 2ull << 30);
	assert_string_equal(last->outputs[0], "m-0.01-2/");
	assert_int_equal(pick->n_needs, 4);
	assert_int_equal(one->n_needs, 1);
	assert_int_equal(one->needs[0], 3);
}

static void at_most_256_cells_and_1000_stages(void **state)
{
	cleanup_pipeline struct pipeline *pipeline = parse("stages: {t: {matrix: {a: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16], "
							   "b: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}, run: x}}", fake_kinds);
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_buf struct buf text;

	(void)state;
	assert_int_equal(pipeline->n_stages, 256);
	buf_init(&text, 1 << 20);
	buf_adds(&text, "stages:\n");
	for (int i = 0; i < 1001; i++)
		buf_addf(&text, "  s%d: {run: x}\n", i);
	assert_null(pipeline_parse("p.yml", text.data, text.len, fake_kinds, diags));
	assert_int_equal(diag_count(diags), 1);
	assert_string_equal(diag_at(diags, 0)->message, "the pipeline has more than 1000 stages after its matrixes are expanded");
	assert_int_equal(diag_at(diags, 0)->line, 1002);
}

/* A thousand cells of large bodies would be a gigabyte: what is copied is limited, and what is not filled is not copied. */
static void a_matrix_cannot_eat_all_memory(void **state)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_buf struct buf text;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_adds(&text, "stages:\n  t:\n    matrix: {a: [");
	for (int i = 0; i < 250; i++)
		buf_addf(&text, "%s%d", i ? "," : "", i);
	buf_adds(&text, "]}\n    score: [");
	for (int i = 0; i < 20000; i++)
		buf_adds(&text, "\"${{matrix.a}}\",");
	buf_adds(&text, "]\n");
	assert_null(pipeline_parse("p.yml", text.data, text.len, fake_kinds, diags));
	assert_string_equal(diag_at(diags, 0)->code, "too-large");
}

static void names_of_outcomes(void **state)
{
	enum outcome outcome = OUTCOME_NONE;

	(void)state;
	for (enum outcome i = OUTCOME_SUCCESS; i < OUTCOME_NONE; i++) {
		assert_true(outcome_from_name(outcome_name(i), &outcome));
		assert_int_equal(outcome, i);
	}
	assert_false(outcome_from_name("", &outcome));
	assert_string_equal(outcome_name(OUTCOME_NONE), "");
	assert_int_equal(outcome_exit_status(OUTCOME_REJECTED), 3);
	assert_int_equal(outcome_exit_status(OUTCOME_LOST), 5);
	assert_string_equal(event_kind_name(EVENT_PULL_REQUEST), "pull_request");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_example_has_no_mistakes_but_what_is_not_available),
		cmocka_unit_test(the_whole_example_fills_every_field),
		cmocka_unit_test(a_small_pipeline_gets_the_defaults),
		cmocka_unit_test(retry_has_two_budgets),
		cmocka_unit_test(a_matrix_is_a_cross_product),
		cmocka_unit_test(cells_are_filled_and_needed),
		cmocka_unit_test(at_most_256_cells_and_1000_stages),
		cmocka_unit_test(a_matrix_cannot_eat_all_memory),
		cmocka_unit_test(names_of_outcomes),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
