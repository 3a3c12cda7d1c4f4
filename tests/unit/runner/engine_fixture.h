/* An engine in this process with a state folder of its own, and a real repository made with git. */
#ifndef TESTS_UNIT_RUNNER_ENGINE_FIXTURE_H
#define TESTS_UNIT_RUNNER_ENGINE_FIXTURE_H

#include "tests/support/support.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "runner/engine.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct house {
	const struct fixture *fixture;
	char *repo; /* the repository that pushes come from */
	struct config *config;
	struct core *core;
	struct engine *engine;
};

static inline void git_in(const char *dir, const char *const *args)
{
	cleanup_strlist struct strlist argv = {0};
	static const char *const head[] = {"git",
					   "-c",
					   "user.name=Ann",
					   "-c",
					   "user.email=ann@example.org",
					   "-c",
					   "commit.gpgsign=false",
					   "-c",
					   "protocol.file.allow=always",
					   "-c",
					   "init.defaultBranch=main"};
	for (size_t i = 0; i < ARRAY_SIZE(head); i++)
		strlist_add(&argv, head[i]);
	for (; *args; args++)
		strlist_add(&argv, *args);
	cleanup_error struct error *err = NULL;
	struct child_result result;
	assert_ok(child_run(&(struct child_spec){.argv = strlist_items(&argv), .dir = dir}, &result, &err), err);
	if (result.exit_code != 0)
		fail_msg("git: %s", result.err_text);
	child_result_done(&result);
}
#define GIT(dir, ...) git_in(dir, (const char *const[]){__VA_ARGS__, NULL})

/* One line of git's answer; owned by the caller. */
static inline char *git_ask(const char *dir, const char *what, const char *which)
{
	const char *argv[] = {"git", what, which, NULL};
	cleanup_error struct error *err = NULL;
	struct child_result result;
	assert_ok(child_run(&(struct child_spec){.argv = argv, .dir = dir}, &result, &err), err);
	char *line = xstrndup(result.out, strcspn(result.out, "\n"));
	child_result_done(&result);
	return line;
}

static inline void house_write(const struct house *house, const char *name, const char *text)
{
	cleanup_free char *path = path_join(house->repo, name), *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	cleanup_error struct error *err = NULL;
	assert_ok(dir_make(parent, 0755, &err), err);
	assert_ok(file_write_atomic(path, text, strlen(text), 0644, &err), err);
}

static inline void house_commit(const struct house *house, const char *message)
{
	GIT(house->repo, "add", "-A");
	GIT(house->repo, "commit", "-q", "--allow-empty", "-m", message);
}

static inline void house_open(struct house *house)
{
	cleanup_error struct error *err = NULL;
	assert_ok(core_open(house->config, &house->core, &err), err);
	/* We are a test: our own executable is somewhere else. */
	free(house->core->self);
	house->core->self = xstrdup(PENSTOCK_PATH);
	assert_ok(engine_open(house->core, &house->engine, &err), err);
}

static inline void house_shut(struct house *house)
{
	engine_close(house->engine);
	core_close(house->core);
	house->engine = NULL;
	house->core = NULL;
}

/* More of the operator's file may be given. */
static inline void house_begin(struct house *house, void **state, const char *config)
{
	*house = (struct house){.fixture = *state};
	assert_int_equal(setenv("PENSTOCK_LEADER", LEADER_PATH, 1), 0);
	assert_int_equal(chmod(house->fixture->dir, 0711), 0);
	house->repo = path_join(house->fixture->dir, "repo");
	cleanup_error struct error *err = NULL;
	assert_ok(dir_make(house->repo, 0755, &err), err);
	GIT(house->repo, "init", "-q", ".");
	cleanup_free char *text = xasprintf("state: state\nrepositories:\n  demo: {url: \"%s\"}\n%s", house->repo, config);
	cleanup_free char *file = fixture_write(house->fixture, "penstock.yml", text);
	assert_ok(config_read(file, &house->config, &err), err);
	house_open(house);
}

static inline void house_end(struct house *house)
{
	if (house->core)
		house_shut(house);
	config_free(house->config);
	free(house->repo);
	/* Leaders leave a moment after their last word. */
	while (waitpid(-1, NULL, 0) > 0)
		;
}

/* `more` are further facts, as JSON. */
static inline int64_t house_push_as(struct house *house, const char *branch, const char *ref, const char *more)
{
	cleanup_free char *commit = git_ask(house->repo, "rev-parse", "HEAD");
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *facts = NULL;
	assert_ok(json_parse(more, strlen(more), &facts, &err), err);
	const char *const pairs[][2] = {{"kind", "push"}, {"branch", branch}, {"ref", ref}, {"commit", commit}};
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		if (!json_object_get(facts, pairs[i][0]))
			json_object_set_new(facts, pairs[i][0], json_string(pairs[i][1]));
	if (!json_object_get(facts, "trusted"))
		json_object_set_new(facts, "trusted", json_true());
	int64_t run = 0;
	core_event_begin(house->core);
	assert_ok(engine_create_run(house->engine, &(struct run_request){.repository = "demo", .facts = facts, .actor = "test"}, &run, &err), err);
	core_event_end(house->core, true);
	return run;
}

static inline int64_t house_push(struct house *house)
{
	return house_push_as(house, "main", "refs/heads/main", "{}");
}

/* One text from the database; owned by the caller; NULL for NULL or no row. */
static inline char *house_ask(const struct house *house, const char *sql, int64_t parameter)
{
	cleanup_error struct error *err = NULL;
	cleanup_stmt struct db_stmt *q = NULL;
	assert_ok(db_query(house->core->db, &q, &err, sql, "i", parameter), err);
	return db_step(q, &err) > 0 ? xstrdup(db_text(q, 0)) : NULL;
}

static inline void on_deadline(void *arg)
{
	*(bool *)arg = true;
}

/* Turns the loop until the query gives a row. */
static inline void house_wait(struct house *house, const char *sql, int64_t parameter)
{
	bool late = false;
	struct loop_timer *deadline = loop_timer_start(house->core->loop, 60000, 0, on_deadline, &late);
	for (;;) {
		cleanup_free char *found = house_ask(house, sql, parameter);
		if (found)
			break;
		if (late)
			fail_msg("nothing after 60 s: %s", sql);
		loop_turn(house->core->loop);
	}
	loop_timer_stop(deadline);
}

static inline void house_settle(struct house *house)
{
	bool late = false;
	struct loop_timer *deadline = loop_timer_start(house->core->loop, 60000, 0, on_deadline, &late);
	while (!engine_idle(house->engine) && !late)
		loop_turn(house->core->loop);
	loop_timer_stop(deadline);
	assert_false(late);
}

static inline void check_text(char *got /* taken */, const char *expected, const char *file, int line)
{
	cleanup_free char *text = got;
	if (!text || strcmp(text, expected) != 0) {
		print_error("expected \"%s\"\n     got \"%s\"\n", expected, text ? text : "(nothing)");
		_fail(file, line);
	}
}

/* "success: reason" or "success". */
#define assert_run(house, run, expected)                                                                                                             \
	check_text(house_ask(house, "SELECT outcome || CASE reason WHEN '' THEN '' ELSE ': ' || reason END FROM run WHERE id = ?", run), expected,   \
		   __FILE__, __LINE__)
/* All stages in order: "a success; b failed: exit status 1". */
#define assert_stages(house, run, expected)                                                                                                          \
	check_text(house_ask(house,                                                                                                                  \
			     "SELECT group_concat(name || ' ' || outcome || CASE reason WHEN '' THEN '' ELSE ': ' || reason END, '; ') FROM "        \
			     "(SELECT * FROM stage WHERE run_id = ? ORDER BY idx)",                                                                  \
			     run),                                                                                                                   \
		   expected, __FILE__, __LINE__)
#endif
