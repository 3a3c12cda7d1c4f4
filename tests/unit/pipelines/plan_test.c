/* Which events start a pipeline, which stages they leave out, and what is filled in. */
#include "tests/support/support.h"
#include "tests/unit/pipelines/fake_kinds.h"

#include "base/alloc.h"
#include "pipelines/plan.h"

static struct pipeline *parse(const char *text)
{
	struct diag_list *diags = diag_list_new();
	struct pipeline *pipeline = pipeline_parse("p.yml", text, strlen(text), fake_kinds_with_scan, diags);

	if (!pipeline)
		fail_msg("%s: %s", text, diag_at(diags, 0)->message);
	diag_list_free(diags);
	return pipeline;
}

static void assert_triggered(const char *text, const struct event_facts *facts, const char *expected_reason)
{
	cleanup_pipeline struct pipeline *pipeline = parse(text);
	cleanup_arena struct arena *arena = arena_new();
	const char *reason = "starts";
	bool triggered = plan_is_triggered(pipeline, facts, arena, &reason);

	if (triggered != (expected_reason == NULL) || strcmp(reason, expected_reason ? expected_reason : "starts") != 0)
		fail_msg("%s: %s, not %s", text, reason, expected_reason ? expected_reason : "starts");
}

/* ---- triggers ---- */

#define STAGES "\nstages: {a: {run: x}}"
static const char *const py_changed[] = {"README.md", "src/a.py", NULL};
static const char *const nothing_changed[] = {NULL};
static const struct {
	const char *on;
	struct event_facts facts;
	const char *reason;
} triggers[] = {
	{"", {.kind = EVENT_PUSH, .branch = "any"}, NULL},
	{"", {.kind = EVENT_MANUAL}, NULL},
	{"", {.kind = EVENT_TAG, .tag = "v1"}, "the pipeline does not start on tag"},
	{"on: push", {.kind = EVENT_PUSH, .branch = "any"}, NULL},
	{"on: push", {.kind = EVENT_MANUAL}, "the pipeline does not start on manual"},
	{"on: [push, manual]", {.kind = EVENT_MANUAL}, NULL},
	{"on: {push: {branches: main}}", {.kind = EVENT_PUSH, .branch = "main"}, NULL},
	{"on: {push: {branches: main}}", {.kind = EVENT_PUSH, .branch = "dev"}, "branch dev matches none of [main]"},
	{"on: {push: {branches: [main, release/*]}}", {.kind = EVENT_PUSH, .branch = "release/1"}, NULL},
	{"on: {push: {branches: [\"**\", \"!wip/**\"]}}", {.kind = EVENT_PUSH, .branch = "wip/x"}, "branch wip/x matches none of [**, !wip/**]"},
	{"on: {push: {branches: main}}", {.kind = EVENT_PUSH}, "there is no branch, and one of [main] is asked for"},
	{"on: {pull_request: {branches: main}}", {.kind = EVENT_PULL_REQUEST, .branch = "main"}, NULL},
	{"on: {tag: {tags: \"v*\"}}", {.kind = EVENT_TAG, .tag = "v1"}, NULL},
	{"on: {tag: {tags: \"v*\"}}", {.kind = EVENT_TAG, .tag = "test"}, "tag test matches none of [v*]"},
	{"on: {push: {paths: \"src/**\"}}", {.kind = EVENT_PUSH, .changed_paths = py_changed}, NULL},
	{"on: {push: {paths: \"*.csv\"}}", {.kind = EVENT_PUSH, .changed_paths = py_changed}, "none of the changed files matches [*.csv]"},
	{"on: {push: {paths: [\"**\", \"!*.md\", \"!src/**\"]}}", {.kind = EVENT_PUSH, .changed_paths = py_changed},
	 "none of the changed files matches [**, !*.md, !src/**]"},
	{"on: {push: {paths: \"src/**\"}}", {.kind = EVENT_PUSH}, NULL}, /* nobody knows what changed */
	{"on: {push: {paths: \"src/**\"}}", {.kind = EVENT_PUSH, .changed_paths = nothing_changed}, "none of the changed files matches [src/**]"},
	{"", {.kind = EVENT_PUSH, .message = "Fix typo\n\n[skip ci]"}, "the commit's message asks to skip"},
	{"", {.kind = EVENT_PUSH, .message = "[Skip Penstock] docs"}, "the commit's message asks to skip"},
	{"", {.kind = EVENT_PUSH, .message = "skip ci"}, NULL},
	{"", {.kind = EVENT_MANUAL, .message = "[skip ci]"}, NULL},
	{"on: {push: {branches: main}}", {.kind = EVENT_PUSH, .branch = "--upload-pack=$(id)"},
	 "branch --upload-pack=$(id) matches none of [main]"},
};

static void triggers_say_why_not(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(triggers); i++) {
		cleanup_free char *text = xasprintf("%s" STAGES, triggers[i].on);

		assert_triggered(text, &triggers[i].facts, triggers[i].reason);
	}
}

static void messages_skip(void **state)
{
	(void)state;
	assert_true(message_skips("x [skip ci] y"));
	assert_true(message_skips("[skip penstock]"));
	assert_false(message_skips("[skip]"));
	assert_false(message_skips(NULL));
}

/* ---- when ---- */

static const struct {
	const char *when;
	struct event_facts facts;
	const char *reason;
} conditions[] = {
	{"{}", {.kind = EVENT_PUSH, .branch = "x"}, NULL},
	{"{branch: main}", {.kind = EVENT_PUSH, .branch = "main"}, NULL},
	{"{branch: main}", {.kind = EVENT_PUSH, .branch = "dev"}, "branch dev matches none of [main]"},
	{"{branch: main, event: push}", {.kind = EVENT_PUSH, .branch = "dev"}, "branch dev matches none of [main]"},
	{"{branch: main}", {.kind = EVENT_TAG, .tag = "v1"}, "there is no branch, and one of [main] is asked for"},
	{"{branch: main, event: [push, tag]}", {.kind = EVENT_TAG, .tag = "v1"}, NULL},
	{"{branch: main, event: [push, tag]}", {.kind = EVENT_TAG, .tag = "v1", .branch = "dev"}, NULL},
	{"{branch: main, event: push}", {.kind = EVENT_TAG, .tag = "v1"}, "event tag matches none of [push]"},
	{"{tag: \"v*\"}", {.kind = EVENT_TAG, .tag = "v1"}, NULL},
	{"{tag: \"v*\"}", {.kind = EVENT_TAG, .tag = "x"}, "tag x matches none of [v*]"},
	{"{tag: \"v*\"}", {.kind = EVENT_PUSH, .branch = "main"}, "there is no tag, and one of [v*] is asked for"},
	{"{tag: \"v*\", event: [push, tag]}", {.kind = EVENT_PUSH, .branch = "main"}, NULL},
	{"{event: \"!pull_request\"}", {.kind = EVENT_PULL_REQUEST}, "event pull_request matches none of [!pull_request]"},
	{"{event: \"!pull_request\"}", {.kind = EVENT_PUSH}, NULL},
	{"{event: p*}", {.kind = EVENT_PULL_REQUEST}, NULL},
	{"{path: \"*.csv\"}", {.kind = EVENT_PUSH, .changed_paths = py_changed}, "none of the changed files matches [*.csv]"},
	{"{path: \"**/*.py\"}", {.kind = EVENT_PUSH, .changed_paths = py_changed}, NULL},
	{"{path: \"*.csv\"}", {.kind = EVENT_PUSH}, NULL},
	{"{status: failed}", {.kind = EVENT_PUSH}, NULL}, /* for the scheduler */
};

static void conditions_leave_stages_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(conditions); i++) {
		cleanup_free char *text = xasprintf("on: [push, pull_request, tag]\nstages: {b: {run: x}, a: {needs: b, when: %s, run: x}}",
						    conditions[i].when);
		cleanup_pipeline struct pipeline *pipeline = parse(text);
		cleanup_diags struct diag_list *diags = diag_list_new();
		cleanup_plan struct plan *plan = plan_new(pipeline, &conditions[i].facts, diags);
		const char *reason = plan->stages[1].excluded_reason;

		assert_false(plan->stages[0].excluded);
		assert_int_equal(plan->stages[1].excluded, conditions[i].reason != NULL);
		assert_string_equal(reason ? reason : "", conditions[i].reason ? conditions[i].reason : "");
	}
}

/* ---- the environment and substitution ---- */

static const char *env_of(const struct plan_stage *stage, const char *name)
{
	for (size_t i = 0; i < stage->n_env; i++) {
		if (strcmp(stage->env[i].name, name) == 0)
			return stage->env[i].value;
	}
	return NULL;
}

/* All at once: shell, quotes, YAML, our own placeholders, a line break, what is no UTF-8. */
#define HOSTILE "$(touch /tmp/owned) `id` '\"; rm -rf / #\n- a: b\n${{ git.sha }} ${{ matrix.lr }} ${{ inputs.note }} %s \\ \xff"

static void hostile_events_reach_commands_as_variables_only(void **state)
{
	cleanup_pipeline struct pipeline *pipeline = parse("env: {WHO: \"${{ git.short_sha }}\"}\n"
							   "stages:\n"
							   "  a: {matrix: {lr: [1]}, env: {X: \"v${{ git.sha }}\"}, run: echo \"$CI_COMMIT_MESSAGE\"}\n"
							   "  b: {build: {version: \"${{ git.sha }}\", other: fixed}}\n");
	cleanup_diags struct diag_list *diags = diag_list_new();
	const struct event_facts facts = {.kind = EVENT_PUSH, .repository = "fraud", .branch = HOSTILE, .ref = "refs/heads/x", .author = HOSTILE,
					  .message = HOSTILE, .commit = "0123456789abcdef0123456789abcdef01234567", .before = "aaaa",
					  .trusted = true, .run_number = 17};
	cleanup_plan struct plan *plan = plan_new(pipeline, &facts, diags);
	const struct plan_stage *a = &plan->stages[0], *b = &plan->stages[1];

	(void)state;
	static const struct name_value expected[] = {
		{"CI", "true"}, {"CI_SYSTEM_NAME", "penstock"}, {"CI_REPO", "fraud"},
		{"CI_COMMIT_SHA", "0123456789abcdef0123456789abcdef01234567"}, {"CI_COMMIT_BEFORE", "aaaa"}, {"CI_COMMIT_REF", "refs/heads/x"},
		{"CI_COMMIT_BRANCH", HOSTILE}, {"CI_COMMIT_TAG", ""}, {"CI_COMMIT_AUTHOR", HOSTILE}, {"CI_COMMIT_MESSAGE", HOSTILE},
		{"CI_PIPELINE_EVENT", "push"}, {"CI_PIPELINE_NUMBER", "17"}, {"PENSTOCK_RUN", "17"}, {"PENSTOCK_REPOSITORY", "fraud"},
		{"PENSTOCK_PIPELINE", "p"}, {"PENSTOCK_TRUSTED", "true"}, {"PENSTOCK_STAGE", "a (lr=1)"}, {"PENSTOCK_MATRIX_LR", "1"},
		{"WHO", "01234567"}, {"X", "v0123456789abcdef0123456789abcdef01234567"},
	};
	assert_int_equal(a->n_env, ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_string_equal(a->env[i].name, expected[i].name);
		assert_string_equal(a->env[i].value, expected[i].value);
	}
	assert_ptr_equal(a->body, a->stage->body);
	assert_string_equal(a->body->text, "echo \"$CI_COMMIT_MESSAGE\"");
	assert_string_equal(yaml_text(yaml_get(b->body, "version"), ""), "0123456789abcdef0123456789abcdef01234567");
	assert_string_equal(yaml_text(yaml_get(b->stage->body, "version"), ""), "${{ git.sha }}"); /* the pipeline stays as it is */
	assert_ptr_equal(yaml_get(b->body, "other"), yaml_get(b->stage->body, "other"));
	assert_string_equal(env_of(b, "PENSTOCK_STAGE"), "b");
}

static void a_huge_message_is_cut(void **state)
{
	cleanup_pipeline struct pipeline *pipeline = parse("stages: {a: {run: x}}");
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_free char *message = xcalloc(1, 200001);

	(void)state;
	for (size_t i = 0; i < 200000; i += 2) {
		message[i] = '\xc3';
		message[i + 1] = '\xa9';
	}
	message[0] = message[1] = 'x';
	message[2] = 'y'; /* so that the limit falls into a character */
	cleanup_plan struct plan *plan = plan_new(pipeline, &(struct event_facts){.kind = EVENT_PUSH, .message = message}, diags);
	const char *cut = env_of(&plan->stages[0], "CI_COMMIT_MESSAGE"), *end = strchr(cut, '\n');
	assert_string_equal(end, "\n[cut by Penstock]");
	assert_true(end - cut <= 32768 && end - cut > 32764);
}

#define INPUTS "on: {push: , manual: {inputs: {reason: {required: true}, rows: {type: integer, default: 3}, " \
	       "size: {type: choice, options: [small, big]}, fast: {type: boolean, default: false}}}}\n"

/* What plan_new() says of a manual run with these inputs, or of a push if there are none: "" for a plan. */
static char *plan_with(const struct pipeline *pipeline, const struct name_value *inputs, size_t n, struct plan **ret)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	const struct event_facts facts = {.kind = n ? EVENT_MANUAL : EVENT_PUSH, .commit = "abc", .inputs = inputs, .n_inputs = n};
	struct plan *plan = plan_new(pipeline, &facts, diags);
	struct buf out;

	assert_int_equal(plan != NULL, diag_errors(diags) == 0);
	buf_init(&out, 1 << 16);
	for (size_t i = 0; i < diag_count(diags); i++) {
		const struct diag *diag = diag_at(diags, i);

		buf_addf(&out, "%u:%u %s: %s%s%s\n", diag->line, diag->column, diag->code, diag->message, diag->hint ? " ; " : "",
			 diag->hint ? diag->hint : "");
	}
	if (ret)
		*ret = plan;
	else
		plan_free(plan);
	return buf_steal(&out);
}

static const struct {
	struct name_value inputs[4];
	const char *expected;
} manual_runs[] = {
	{{{"reason", "why not"}}, ""},
	{{{"reason", ""}, {"rows", "12"}, {"size", "big"}, {"fast", "true"}}, ""},
	{{{"rows", "12"}}, "1:32 input: input \"reason\" is required ; give it with the manual run\n"},
	{{{"reason", "x"}, {"rows", "many"}}, "1:58 input: \"many\" is no integer for input \"rows\"\n"},
	{{{"reason", "x"}, {"size", "bog"}}, "1:93 input: \"bog\" is no option for input \"size\" ; did you mean \"big\"?\n"},
	{{{"reason", "x"}, {"fast", "yes"}}, "1:138 input: \"yes\" is no boolean for input \"fast\"\n"},
	{{{"reason", "x"}, {"rowz", "1"}}, "1:23 unknown-input: the pipeline has no input \"rowz\" ; did you mean \"rows\"?\n"},
	{{{"reason", "\xff"}}, "1:32 input: input \"reason\" is not UTF-8 text\n"},
};

static void manual_inputs_are_checked(void **state)
{
	cleanup_pipeline struct pipeline *pipeline = parse(INPUTS "stages: {a: {run: x}}");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(manual_runs); i++) {
		size_t n = 0;

		while (n < 4 && manual_runs[i].inputs[n].name)
			n++;
		cleanup_free char *found = plan_with(pipeline, manual_runs[i].inputs, n, NULL);
		assert_string_equal(found, manual_runs[i].expected);
	}
}

static void manual_inputs_are_filled_in(void **state)
{
	cleanup_pipeline struct pipeline *pipeline = parse(INPUTS "stages:\n"
							   "  a: {env: {R: \"<${{ inputs.reason }}>\", N: \"${{ inputs.rows }}\"}, run: x}\n"
							   "  image: {build: {}}\n"
							   "  b: {needs: image, deploy: {target: prod, image: image, replicas: \"${{ inputs.rows }}\"}}\n");
	const struct name_value inputs[] = {{"reason", "${{ git.sha }} $(id)"}, {"rows", "12"}}, many[] = {{"reason", "x"}, {"rows", "1000"}};
	cleanup_plan struct plan *plan = NULL, *pushed = NULL;
	cleanup_free char *none = plan_with(pipeline, inputs, 2, &plan), *none_either = plan_with(pipeline, NULL, 0, &pushed);
	int64_t replicas = 0;

	(void)state;
	assert_string_equal(none, "");
	assert_string_equal(env_of(&plan->stages[0], "R"), "<${{ git.sha }} $(id)>"); /* filled once, never looked at again */
	assert_string_equal(env_of(&plan->stages[0], "N"), "12");
	assert_string_equal(env_of(&plan->stages[0], "PENSTOCK_INPUT_REASON"), "${{ git.sha }} $(id)");
	assert_string_equal(env_of(&plan->stages[0], "PENSTOCK_INPUT_FAST"), "false");
	assert_true(yaml_int(yaml_get(plan->stages[2].body, "replicas"), &replicas));
	assert_int_equal(replicas, 12);
	/* A push has no inputs: the defaults, or nothing. */
	assert_string_equal(none_either, "");
	assert_string_equal(env_of(&pushed->stages[0], "R"), "<>");
	assert_string_equal(env_of(&pushed->stages[0], "N"), "3");
	/* What does not fit where it is filled in is told there. */
	cleanup_free char *found = plan_with(pipeline, many, 2, NULL);
	assert_string_equal(found, "5:68 out-of-range: \"replicas\" must be at most 100, not 1000\n");
}

static void filled_paths_stay_inside(void **state)
{
	cleanup_pipeline struct pipeline *pipeline = parse("on: {manual: {inputs: {d: {}}}}\n"
							   "stages: {a: {validate: {data: \"data/${{ inputs.d }}.csv\", schema: s.yml}}}");
	const struct name_value good[] = {{"d", "may"}}, bad[] = {{"d", "../../etc/passwd"}};
	cleanup_plan struct plan *plan = NULL;
	cleanup_free char *fine = plan_with(pipeline, good, 1, &plan), *found = plan_with(pipeline, bad, 1, NULL);

	(void)state;
	assert_string_equal(fine, "");
	assert_string_equal(yaml_text(yaml_get(plan->stages[0].body, "data"), ""), "data/may.csv");
	assert_string_equal(found, "2:31 bad-path: \"data\" must be a relative path without \"..\", not \"data/../../etc/passwd.csv\"\n");
}

static void a_plan_without_commit_cannot_fill_its_sha(void **state)
{
	cleanup_pipeline struct pipeline *pipeline = parse("stages: {a: {build: {version: \"${{ git.sha }}\"}}}");
	cleanup_diags struct diag_list *diags = diag_list_new();

	(void)state;
	assert_null(plan_new(pipeline, &(struct event_facts){.kind = EVENT_PUSH}, diags));
	assert_string_equal(diag_at(diags, 0)->message, "\"git.sha\" has no value in stage \"a\"");
}

static void filling_is_limited(void **state)
{
	cleanup_buf struct buf text;
	cleanup_free char *large = xcalloc(1, 15001);
	struct name_value inputs[] = {{"x", memset(large, 'x', 15000)}};

	(void)state;
	buf_init(&text, 1 << 20);
	buf_adds(&text, "on: {manual: {inputs: {x: {}}}}\nstages: {a: {score: [");
	for (int i = 0; i < 2000; i++)
		buf_adds(&text, "\"${{inputs.x}}\", ");
	buf_adds(&text, "]}}");
	cleanup_pipeline struct pipeline *pipeline = parse(text.data);
	cleanup_free char *found = plan_with(pipeline, inputs, 1, NULL);
	assert_non_null(strstr(found, "too-large: too large after substitution: more than 65536 bytes in one value, or 16777216 in all"));
	inputs[0].value = "x";
	cleanup_free char *fine = plan_with(pipeline, inputs, 1, NULL);
	assert_string_equal(fine, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(triggers_say_why_not),
		cmocka_unit_test(messages_skip),
		cmocka_unit_test(conditions_leave_stages_out),
		cmocka_unit_test(hostile_events_reach_commands_as_variables_only),
		cmocka_unit_test(a_huge_message_is_cut),
		cmocka_unit_test(manual_inputs_are_checked),
		cmocka_unit_test(manual_inputs_are_filled_in),
		cmocka_unit_test(filled_paths_stay_inside),
		cmocka_unit_test(a_plan_without_commit_cannot_fill_its_sha),
		cmocka_unit_test(filling_is_limited),
	};

	(void)fake_kinds;
	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
