/* `penstock validate` as a person or a script calls it, and the stage as the language writes it. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "stages/command.h"
#include "stages/stage.h"
#include "tests/support/command_run.h"

static char *read_back(const char *path)
{
	char *text = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(file_read(path, 1024 * 1024, &text, NULL, &err), err);
	return text;
}

static int enter(void **state)
{
	if (fixture_setup(state) != 0)
		return -1;
	const struct fixture *fixture = *state;
	return chdir(fixture->dir);
}

static int leave(void **state)
{
	return chdir("/") == 0 ? fixture_teardown(state) : -1;
}

static void write_file(void **state, const char *name, const char *text)
{
	const struct fixture *fixture = *state;
	free(fixture_write(fixture, name, text));
}

#define SCHEMA "columns: {id: {type: int64, unique: true}, x: {type: float64, min: 0, max: 0.3, mean: {min: 0}}, s: {type: string, required: true}}\n"

static void a_pass_is_a_table_of_columns(void **state)
{
	write_file(state, "s.yml", SCHEMA);
	write_file(state, "d.csv", "id,x,s\n1,0.1,a\n2,0.2,b\n3,,b\n");
	cleanup_said struct said said = command_line(*state, validate_command, "validate d.csv --schema s.yml");
	assert_string_equal(said.out, "column  type     nulls  distinct  min  max  mean  sd\n"
				      "id      int64    0      3         1    3    2     1\n"
				      "x       float64  1      2         0.1  0.2  0.15  0.0707107\n"
				      "s       string   0      2         -    -    -     -\n"
				      "\n"
				      "pass: 3 rows, 11 checks\n");
	assert_string_equal(said.err, "");
	assert_int_equal(said.status, 0);
}

static void a_failure_names_rows_and_values(void **state)
{
	write_file(state, "s.yml", SCHEMA);
	write_file(state, "d.csv", "id,x,s\n1,-7,a\n2,9,b\n2,,\n4,\x1b[31mred,\n");
	cleanup_said struct said said = command_line(*state, validate_command, "validate d.csv --schema s.yml");
	static const char failures[] = "d.csv: id: unique: 1 of 4 rows (25.00%): line 4: 2 (first on line 3)\n"
				       "d.csv: x: type float64: 1 of 4 rows (25.00%): line 5: \xef\xbf\xbd[31mred\n"
				       "d.csv: x: min 0: 1 of 4 rows (25.00%): line 2: -7\n"
				       "d.csv: x: max 0.3: 1 of 4 rows (25.00%): line 3: 9\n"
				       "d.csv: s: required: 2 of 4 rows (50.00%): line 4, line 5\n"
				       "fail: 4 rows, 11 checks, 5 failed\n";
	assert_non_null(strstr(said.out, failures));
	assert_int_equal(said.status, 1);
}

static void a_program_gets_json_and_the_log_gets_words(void **state)
{
	write_file(state, "s.yml", SCHEMA);
	write_file(state, "d.csv", "id,x,s\n1,-7,a\n2,9,b\n");
	cleanup_said struct said said = command_line(*state, validate_command, "validate d.csv --schema s.yml --format json");
	assert_string_equal(said.err, "d.csv: x: min 0: 1 of 2 rows (50.00%): line 2: -7\nd.csv: x: max 0.3: 1 of 2 rows (50.00%): line 3: 9\n"
				      "fail: 2 rows, 11 checks, 2 failed\n");
	assert_int_equal(said.status, 1);
	cleanup_json json_t *result = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(json_parse(said.out, strlen(said.out), &result, &err), err);
	assert_string_equal(json_string_or(result, "verdict", ""), "fail");
	assert_string_equal(json_string_or(result, "reason", ""),
			    "x: min 0: 1 of 2 rows (50.00%): line 2: -7; x: max 0.3: 1 of 2 rows (50.00%): line 3: 9");
	assert_int_equal(json_int_or(result, "rows", 0), 2);
	assert_int_equal(json_int_or(result, "bytes", 0), 20);
	cleanup_free char *column = json_text(json_array_get(json_object_get(result, "columns"), 0));
	assert_string_equal(column, "{\"distinct\":2,\"max\":2,\"mean\":1.5,\"min\":1,\"name\":\"id\",\"nulls\":0,\"present\":true,\"sd\":"
				    "0.70710678118654757,\"type\":\"int64\"}");
	cleanup_free char *check = json_text(json_array_get(json_object_get(result, "checks"), 6));
	assert_string_equal(check, "{\"check\":\"max\",\"column\":\"x\",\"count\":1,\"examples\":[{\"line\":3,\"value\":\"9\"}],\"expected\":"
				   "0.29999999999999999,\"fraction\":0.5,\"observed\":null,\"verdict\":\"fail\"}");
}

static void several_files_are_named(void **state)
{
	write_file(state, "s.yml", SCHEMA);
	write_file(state, "1.csv", "id,x,s\n1,0.1,a\n");
	write_file(state, "2.csv", "id,x,s\n2,0.1,a\n1,0.1,a\n");
	cleanup_said struct said said = command_line(*state, validate_command, "validate 1.csv 2.csv --schema s.yml --format json");
	assert_string_equal(said.err, "id: unique: 1 of 3 rows (33.33%): 2.csv line 3: 1 (first in 1.csv on line 2)\nfail: 3 rows, 11 checks, 1 failed\n");
}

static void mistakes_have_their_status_and_words(void **state)
{
	write_file(state, "good.yml", "columns: {a: {type: int64}}\n");
	write_file(state, "bad.yml", "columns:\n  a: {type: int64, mni: 3}\n  b: {type: strin}\n");
	write_file(state, "d.csv", "a\n1\n");
	write_file(state, "bad.csv", "a,b\n1,\"2\n");
	static const struct { const char *line; int status; const char *end; } cases[] = {
		{"validate", 2, "penstock validate: DATA and --schema FILE are needed; see penstock validate --help\n"},
		{"validate d.csv", 2, "penstock validate: DATA and --schema FILE are needed; see penstock validate --help\n"},
		{"validate d.csv --schema good.yml --format xml", 2, "penstock validate: --format: expected text or json, not \"xml\"\n"},
		{"validate d.csv --schema good.yml --reference d.csv", 2, "penstock validate: --reference: checks of drift are not available in this build\n"},
		{"validate --infer d.csv --schema good.yml", 2,
		 "penstock validate: --infer takes one DATA and no other option; see penstock validate --help\n"},
		{"validate d.csv --schema none.yml", 2, "penstock validate: cannot read none.yml: No such file or directory\n"},
		{"validate none.csv --schema good.yml", 2, "No such file or directory\n"},
		{"validate bad.csv --schema good.yml", 2, "penstock validate: bad.csv:2:3: the quoted field that starts here is never closed\n"},
		{"validate d.csv --schema bad.yml", 2,
		 "penstock validate: bad schema: bad.yml:2:20: unknown key \"mni\" in \"a\" (and 1 more mistake)\n"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_said struct said said = command_line(*state, validate_command, cases[i].line);
		size_t len = strlen(said.err), n = strlen(cases[i].end);
		if (len < n || strcmp(said.err + len - n, cases[i].end) != 0)
			fail_msg("%s: %s", cases[i].line, said.err);
		assert_int_equal(said.status, cases[i].status);
		assert_string_equal(said.out, "");
	}
}

/* ---- the quickstart's own data, clean and as the story corrupts it ---- */

static void the_quickstart_passes_and_its_corrupt_rows_are_named(void **state)
{
	static const char *const model = SOURCE_DIR "/examples/quickstart/model/data";
	cleanup_free char *clean = xasprintf("validate %s/wdbc.csv --schema %s/schema.yml --format json", model, model);
	cleanup_said struct said good = command_line(*state, validate_command, clean);
	assert_string_equal(good.err, "pass: 569 rows, 164 checks\n");
	assert_int_equal(good.status, 0);

	cleanup_free char *path = path_join(model, "wdbc.csv"), *data = read_back(path);
	cleanup_buf struct buf bad;
	buf_init(&bad, 1 << 20);
	unsigned line = 1;
	for (const char *p = data; *p; line++) {
		size_t len = strcspn(p, "\n") + 1, id = strcspn(p, ",") + 1, radius = strcspn(p + id, ",");
		buf_add(&bad, p, id);
		buf_adds(&bad, line == 18 ? "-" : line == 231 ? "9999" : "");
		if (line != 231)
			buf_add(&bad, p + id, radius);
		buf_add(&bad, p + id + radius, len - id - radius);
		p += len;
	}
	write_file(state, "bad.csv", bad.data);
	cleanup_free char *corrupt = xasprintf("validate bad.csv --schema %s/schema.yml --format json", model);
	cleanup_said struct said said = command_line(*state, validate_command, corrupt);
	assert_int_equal(said.status, 1);
	cleanup_json json_t *result = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(json_parse(said.out, strlen(said.out), &result, &err), err);
	assert_string_equal(json_string_or(result, "reason", ""),
			    "radius_mean: min 0: 1 of 569 rows (0.18%): line 18: -14.68; radius_mean: max 50: 1 of 569 rows (0.18%): line 231: 9999; "
			    "compare radius_mean <= radius_worst: 1 of 569 rows (0.18%): line 231: 9999, 15.2 (and 1 more failing check)");
}

static void infer_writes_a_schema_that_fits(void **state)
{
	(void)state;
	cleanup_said struct said said = command_line(*state, validate_command, "validate --infer " SOURCE_DIR "/examples/quickstart/model/data/wdbc.csv");
	assert_int_equal(said.status, 0);
	write_file(state, "inferred.yml", said.out);
	cleanup_said struct said again = command_line(*state, validate_command, "validate " SOURCE_DIR "/examples/quickstart/model/data/wdbc.csv --schema inferred.yml");
	assert_int_equal(again.status, 0);
}

/* ---- the stage ---- */

static char *argv_of(const char *body)
{
	cleanup_free char *text = xasprintf("version: 1\nname: n\nstages:\n  x: {validate: %s}\n", body);
	cleanup_diags struct diag_list *diags = diag_list_new();
	const struct event_facts event = {.kind = EVENT_PUSH, .repository = "r", .branch = "main", .ref = "refs/heads/main",
					  .commit = "0123456789012345678901234567890123456789", .author = "a", .message = "m", .run_number = 1};
	cleanup_pipeline struct pipeline *pipeline = pipeline_parse("p.yml", text, strlen(text), stage_kinds(), diags);
	cleanup_plan struct plan *plan = pipeline && !diag_errors(diags) ? plan_new(pipeline, &event, diags) : NULL;
	struct buf out;
	buf_init(&out, 65536);
	for (size_t i = 0; i < diag_count(diags); i++)
		buf_addf(&out, "%u:%u: %s", diag_at(diags, i)->line, diag_at(diags, i)->column, diag_at(diags, i)->message);
	if (!plan)
		return buf_steal(&out);
	cleanup_arena struct arena *arena = arena_new();
	const struct stage_facts facts = {.planned = &plan->stages[0], .event = &event, .arena = arena};
	struct stage_work work = {0};
	cleanup_error struct error *err = NULL;
	assert_ok(stage_find("validate")->prepare(&facts, &work, &err), err);
	assert_true(work.native && work.type == WORK_COMMAND);
	for (size_t i = 0; i < work.argv.n; i++)
		buf_addf(&out, "%s%s", i ? "|" : "", work.argv.items[i]);
	stage_work_done(&work);
	return buf_steal(&out);
}

static void the_stage_becomes_its_command(void **state)
{
	(void)state;
	static const struct { const char *body, *told; } cases[] = {
		{"{data: d.csv, schema: s.yml}", STAGE_BINARY "|validate|--schema|s.yml|--format|json|--|d.csv"},
		{"{data: [a.csv, --b.csv], schema: s.yml}", STAGE_BINARY "|validate|--schema|s.yml|--format|json|--|a.csv|--b.csv"},
		{"{data: d.csv}", "4:17: the key \"schema\" is missing in \"validate\""},
		{"{data: ../d.csv, schema: s.yml}", "4:24: \"data\" must be a relative path without \"..\", not \"../d.csv\""},
		{"{data: d.csv, schema: s.yml, reference: r.csv}", "4:57: checks of drift against a reference are not available in this build"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *got = argv_of(cases[i].body);
		assert_string_equal(got, cases[i].told);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pass_is_a_table_of_columns, enter, leave),
		cmocka_unit_test_setup_teardown(a_failure_names_rows_and_values, enter, leave),
		cmocka_unit_test_setup_teardown(a_program_gets_json_and_the_log_gets_words, enter, leave),
		cmocka_unit_test_setup_teardown(several_files_are_named, enter, leave),
		cmocka_unit_test_setup_teardown(mistakes_have_their_status_and_words, enter, leave),
		cmocka_unit_test_setup_teardown(the_quickstart_passes_and_its_corrupt_rows_are_named, enter, leave),
		cmocka_unit_test_setup_teardown(infer_writes_a_schema_that_fits, enter, leave),
		cmocka_unit_test(the_stage_becomes_its_command),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
