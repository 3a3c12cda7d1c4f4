#include "tests/unit/runner/engine_fixture.h"

#include <signal.h>

/* `penstock run` as a person starts it. */
struct
try {
	struct house house; /* only repo is used */
	char *state, *out;
	int status;
};

static void try_make(struct try *try, void **state)
{
	const struct fixture *fixture = *state;
	cleanup_error struct error *err = NULL;
	assert_int_equal(setenv("PENSTOCK_LEADER", LEADER_PATH, 1), 0);
	assert_int_equal(chmod(fixture->dir, 0711), 0);
	*try = (struct try){.house = {.repo = path_join(fixture->dir, "repo")}, .state = path_join(fixture->dir, "state")};
	assert_ok(dir_make(try->house.repo, 0755, &err), err);
	GIT(try->house.repo, "init", "-q", ".");
}

static void try_run(struct try *try, const char *const *more)
{
	static const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/nonexistent", "PENSTOCK_LEADER=" LEADER_PATH,
					  "TOKEN=swordfish-and-more", NULL};
	cleanup_strlist struct strlist argv = {0};
	cleanup_error struct error *err = NULL;
	strlist_add(&argv, PENSTOCK_PATH);
	strlist_add(&argv, "run");
	strlist_add(&argv, "--state");
	strlist_add(&argv, try->state);
	for (; *more; more++)
		strlist_add(&argv, *more);
	strlist_add(&argv, try->house.repo);
	struct child_result result;
	assert_ok(child_run(&(struct child_spec){.argv = strlist_items(&argv), .env = env, .timeout_ms = 60000}, &result, &err), err);
	free(try->out);
	try->out = xasprintf("%s%s", result.out, result.err_text);
	try->status = result.exit_code;
	child_result_done(&result);
}
#define RUN(try, ...) try_run((try), (const char *const[]){__VA_ARGS__, NULL})

static void try_done(struct try *try)
{
	free(try->house.repo);
	free(try->state);
	free(try->out);
}

static void assert_says(const struct try *try, const char *text)
{
	if (!strstr(try->out, text))
		fail_msg("no \"%s\" in:\n%s", text, try->out);
}

static void the_working_tree_runs_and_tells_what_happens(void **state)
{
	struct try try;
	try_make(&try, state);
	house_write(&try.house, ".penstock.yml",
		    "stages:\n  make: {run: 'cat new.txt; echo 1 > o', outputs: [o]}\n  use: {needs: [make], run: 'test -f o'}\n");
	house_commit(&try.house, "x");
	house_write(&try.house, "new.txt", "not committed\n");
	RUN(&try, "--branch", "main");
	assert_int_equal(try.status, 0);
	assert_says(&try, "make | not committed\n");
	assert_says(&try, "make > success\n");
	assert_says(&try, "\nsuccess\n");
	assert_null(strstr(try.out, " \n")); /* no line ends in blanks, that of a stage without a reason neither */
	try_done(&try);
}

static void exit_statuses_are_those_of_the_outcomes(void **state)
{
	struct try try;
	try_make(&try, state);
	house_write(&try.house, ".penstock.yml", "stages:\n  good: {run: 'true'}\n  bad: {run: 'echo sorry; exit 9'}\n");
	RUN(&try, "--branch", "main");
	assert_int_equal(try.status, 1);
	assert_says(&try, "bad   failed");
	assert_says(&try, "failed: bad: exit status 9: sorry\n");
	RUN(&try, "--stage", "good");
	assert_int_equal(try.status, 0);
	RUN(&try, "--stage", "goood");
	assert_int_equal(try.status, 2);
	assert_says(&try, "there is no stage \"goood\"");
	RUN(&try, "--event", "nonsense");
	assert_int_equal(try.status, 2);
	house_write(&try.house, ".penstock.yml", "stages:\n  a: {rnu: x}\n");
	RUN(&try, "--branch", "main");
	assert_int_equal(try.status, 2);
	assert_says(&try, ".penstock.yml:2:7: error:");
	try_done(&try);
}

static void deploying_is_left_out(void **state)
{
	struct try try;
	try_make(&try, state);
	house_write(&try.house, "a", "x");
	house_write(&try.house, ".penstock.yml",
		    "stages:\n"
		    "  image: {build: {image: registry.local/x, base: none, layers: [{from: a, to: /a}], entrypoint: [/a], port: 80}}\n"
		    "  go: {needs: [image], deploy: {target: prod, image: image}}\n");
	RUN(&try, "--branch", "main");
	if (strstr(try.out, "there is no command \"build\"")) /* the program has not got it yet */
		skip();
	assert_says(&try, "a local run deploys nowhere");
	assert_int_equal(try.status, 0);
	try_done(&try);
}

static void secrets_come_from_the_environment_and_are_masked(void **state)
{
	struct try try;
	try_make(&try, state);
	house_write(&try.house, ".penstock.yml", "stages:\n  a: {run: 'test -n \"$TOKEN\"; echo it is $TOKEN', secrets: [TOKEN]}\n");
	RUN(&try, "--branch", "main");
	assert_int_equal(try.status, 0);
	assert_null(strstr(try.out, "swordfish"));
	house_write(&try.house, ".penstock.yml", "stages:\n  a: {run: 'true', secrets: [OTHER]}\n");
	RUN(&try, "--branch", "main");
	assert_int_equal(try.status, 1);
	assert_says(&try, "secret OTHER is not set: export it in the environment of `penstock run`");
	try_done(&try);
}

static void inputs_reach_the_stages(void **state)
{
	struct try try;
	try_make(&try, state);
	house_write(&try.house, ".penstock.yml",
		    "on: {manual: {inputs: {why: {type: string, required: true}}}}\n"
		    "stages:\n  a: {run: 'test \"$PENSTOCK_INPUT_WHY\" = \"a; b\"; test $CI_PIPELINE_EVENT = manual'}\n");
	RUN(&try, "--input", "why=a; b");
	assert_int_equal(try.status, 0);
	RUN(&try, "--event", "manual");
	assert_int_equal(try.status, 2);
	assert_says(&try, "input \"why\" is required");
	try_done(&try);
}

static void the_result_is_json_if_asked_for(void **state)
{
	struct try try;
	try_make(&try, state);
	house_write(&try.house, ".penstock.yml", "stages:\n  a: {run: 'true'}\n");
	RUN(&try, "--json");
	assert_int_equal(try.status, 0);
	assert_says(&try, "\"outcome\": \"success\"");
	assert_int_equal(try.out[0], '{');
	try_done(&try);
}

static void on_out(void *arg, const struct child_result *result)
{
	struct try *try = arg;
	try->out = xasprintf("%s%s", result->out, result->err_text);
	try->status = result->exit_code;
}

static void interrupting_cancels(void **state)
{
	struct try try;
	try_make(&try, state);
	house_write(&try.house, ".penstock.yml", "stages:\n  a: {run: 'touch ckpt/up; sleep 300', checkpoint: ckpt/}\n");
	cleanup_free char *script =
		xasprintf("\"$@\" & p=$!; while ! test -e %s/runs/1/checkpoints/0/up; do sleep 0.02; done; kill -INT $p; wait $p", try.state);
	/* A shell's background job ignores SIGINT unless told otherwise, so the signal is SIGTERM there. */
	char *interrupt = strstr(script, "-INT");
	memcpy(interrupt, "-15 ", 4);
	const char *argv[] = {"/bin/sh", "-c", script, "sh", PENSTOCK_PATH, "run", "--state", try.state, try.house.repo, NULL};
	struct loop *loop = loop_new();
	struct child *child;
	cleanup_error struct error *err = NULL;
	assert_ok(child_start(loop, &(struct child_spec){.argv = argv, .timeout_ms = 60000}, on_out, &try, &child, &err), err);
	while (!try.out)
		loop_turn(loop);
	loop_free(loop);
	assert_int_equal(try.status, 4);
	assert_says(&try, "cancelled by you");
	try_done(&try);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_working_tree_runs_and_tells_what_happens),
		TEST(exit_statuses_are_those_of_the_outcomes),
		TEST(deploying_is_left_out),
		TEST(secrets_come_from_the_environment_and_are_masked),
		TEST(inputs_reach_the_stages),
		TEST(the_result_is_json_if_asked_for),
		TEST(interrupting_cancels),
	};
	loop_free(loop_new()); /* libuv keeps a pipe for signals from its first loop on */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
