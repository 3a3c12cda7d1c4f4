#include "tests/unit/runner/engine_fixture.h"

#include "runner/engine_priv.h"

#include <signal.h>

/* Commits a pipeline, pushes, and waits for the end. */
static int64_t push_pipeline(struct house *house, const char *text)
{
	house_write(house, ".penstock.yml", text);
	house_commit(house, "a change");
	int64_t run = house_push(house);
	house_settle(house);
	return run;
}

static void a_stage_sees_the_outputs_of_all_it_needs(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	house_write(&house, "src/a.txt", "of the commit");
	int64_t run = push_pipeline(
		&house, "stages:\n"
			"  make:  {run: 'mkdir -p model; echo 42 > model/w', outputs: [model/]}\n"
			"  mid:   {needs: [make], run: 'test -f model/w'}\n"
			"  use:   {needs: [mid], run: 'test \"$(cat model/w)\" = 42; test -f src/a.txt; test -z \"$(ls model | grep x)\"'}\n"
			"  apart: {run: 'test ! -e model; echo $CI_COMMIT_BRANCH $CI_PIPELINE_EVENT'}\n");
	assert_stages(&house, run, "make success; mid success; use success; apart success");
	assert_run(&house, run, "success");
	check_text(house_ask(&house, "SELECT count(*) FROM stage WHERE run_id = ? AND outputs LIKE 'sha256:%'", run), "1", __FILE__, __LINE__);
	cleanup_free char *work = path_join(house.fixture->dir, "state/runs/1/work");
	assert_false(path_exists(work));
	house_end(&house);
}

static void a_failure_names_the_stage_and_its_last_words(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	int64_t run = push_pipeline(&house, "stages:\n"
					    "  bad:   {run: 'echo no such column; exit 7'}\n"
					    "  after: {needs: [bad], run: 'true'}\n"
					    "  clean: {needs: [after], when: {status: [failed]}, run: 'true'}\n"
					    "  other: {run: 'true'}\n");
	assert_stages(&house, run,
		      "bad failed: exit status 7: no such column; after skipped: needs \"bad\", which ended failed; clean success; other success");
	assert_run(&house, run, "failed: bad: exit status 7: no such column");
	house_end(&house);
}

static void a_stage_that_takes_too_long_is_stopped(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	int64_t run = push_pipeline(&house, "stages:\n  slow: {run: 'sleep 300', timeout: 1s}\n");
	assert_run(&house, run, "timeout: slow: timed out after 1.0s");
	house_end(&house);
}

static void retries_have_a_budget_and_a_fresh_workspace(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	int64_t run = push_pipeline(
		&house, "stages:\n"
			"  a:\n"
			"    run: 'test ! -e left; touch left; n=$(cat ckpt/n || echo 0); echo $((n+1)) > ckpt/n; test $n = 2 || exit 75'\n"
			"    checkpoint: ckpt/\n"
			"    retry: {limit: 2, on: ['exit:75']}\n");
	assert_stages(&house, run, "a success");
	check_text(house_ask(&house,
			     "SELECT count(*) || ' ' || max(user_failures) || ' ' || max(infra_failures) FROM attempt JOIN stage ON stage.id = "
			     "stage_id WHERE run_id = ?",
			     run),
		   "3 2 0", __FILE__, __LINE__);
	run = push_pipeline(&house, "stages:\n  a: {run: 'exit 74', retry: {limit: 2, on: ['exit:75']}}\n");
	assert_stages(&house, run, "a failed: exit status 74");
	house_end(&house);
}

static void a_missing_output_fails_the_stage(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	int64_t run = push_pipeline(&house, "stages:\n  a: {run: 'true', outputs: [model/]}\n");
	check_text(house_ask(&house, "SELECT outcome || ': ' || (reason LIKE '%output \"model/\"%') FROM stage WHERE run_id = ?", run), "failed: 1",
		   __FILE__, __LINE__);
	house_end(&house);
}

static void a_matrix_runs_each_cell(void **state)
{
	struct house house;
	house_begin(&house, state, "limits: {parallel_stages: 1}\n");
	int64_t run = push_pipeline(&house, "stages:\n"
					    "  a:\n"
					    "    matrix: {lr: [1, 2]}\n"
					    "    run: 'mkdir -p m-$PENSTOCK_MATRIX_LR; echo $PENSTOCK_MATRIX_LR > m-$PENSTOCK_MATRIX_LR/v'\n"
					    "    outputs: ['m-${{ matrix.lr }}/']\n"
					    "  b: {needs: [a], run: 'test $(cat m-1/v m-2/v | tr -d \"\\n\") = 12'}\n");
	assert_stages(&house, run, "a (lr=1) success; a (lr=2) success; b success");
	house_end(&house);
}

static void inputs_narrow_the_workspace(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	house_write(&house, "src/a.py", "x");
	house_write(&house, "data/big.csv", "x");
	int64_t run = push_pipeline(&house, "stages:\n  a: {run: 'test -f src/a.py; test ! -e data; test ! -e .penstock.yml', inputs: ['src/**']}\n");
	assert_stages(&house, run, "a success");
	house_end(&house);
}

static void a_bad_pipeline_starts_nothing_and_tells_why(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	int64_t run = push_pipeline(&house, "stages:\n  a: {needs: [trian], run: 'true'}\n  train: {run: 'true'}\n");
	assert_run(&house, run, "failed: .penstock.yml:2:15: stage \"a\" needs \"trian\", which is no stage");
	cleanup_free char *file = path_join(house.fixture->dir, "state/runs/1/lint.txt"), *text = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(file_read(file, 65536, &text, NULL, &err), err);
	assert_non_null(strstr(text, "did you mean \"train\"?"));
	assert_null(house_ask(&house, "SELECT name FROM stage WHERE run_id = ?", run));
	house_end(&house);
}

static void an_unknown_target_is_a_mistake_of_the_pipeline(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	int64_t run = push_pipeline(&house, "stages:\n"
					    "  image: {build: {image: registry.local/x, base: none, layers: [{from: a, to: /a}], entrypoint: [/a]}}\n"
					    "  go: {needs: [image], deploy: {target: prod, image: image}}\n");
	assert_run(&house, run, "failed: .penstock.yml:3:41: stage \"go\" deploys to \"prod\", which the operator's file does not name");
	house_end(&house);
}

static void what_starts_nothing_says_why(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	house_commit(&house, "no pipeline");
	int64_t run = house_push(&house);
	house_settle(&house);
	assert_run(&house, run, "skipped: the commit has neither .penstock.yml nor .penstock/*.yml");

	house_write(&house, ".penstock.yml", "on: {push: {branches: [main]}}\nstages: {a: {run: 'true'}}\n");
	house_commit(&house, "docs only [skip ci]");
	run = house_push(&house);
	house_settle(&house);
	assert_run(&house, run, "skipped: the commit's message asks to skip");

	house_commit(&house, "another");
	GIT(house.repo, "branch", "dev");
	run = house_push_as(&house, "dev", "refs/heads/dev", "{}");
	house_settle(&house);
	assert_run(&house, run, "skipped: branch dev matches none of [main]");

	run = house_push_as(&house, "main", "refs/heads/main", "{\"trusted\": false}");
	house_settle(&house);
	assert_run(&house, run, "skipped: it comes from a fork or an unknown sender: running those is not available in this build");
	house_end(&house);
}

static void several_pipelines_are_several_runs(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	house_write(&house, ".penstock/a.yml", "name: first\nstages: {a: {run: 'true'}}\n");
	house_write(&house, ".penstock/b.yml", "name: second\nstages: {b: {run: 'false'}}\n");
	house_commit(&house, "two");
	int64_t run = house_push(&house);
	house_settle(&house);
	check_text(house_ask(&house, "SELECT group_concat(pipeline_file || ' ' || name || ' ' || outcome, '; ') FROM run WHERE id >= ?", run),
		   ".penstock/a.yml first success; .penstock/b.yml second failed", __FILE__, __LINE__);
	house_end(&house);
}

static void a_hostile_branch_name_is_harmless(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	house_write(&house, ".penstock.yml", "stages: {a: {run: 'true'}}\n");
	house_commit(&house, "\"; $(touch /tmp/owned) `id` ${{ git.sha }}");
	int64_t run = house_push_as(&house, "--upload-pack=touch owned", "refs/heads/--upload-pack=x", "{}");
	house_settle(&house);
	assert_run(&house, run, "failed: the ref \"refs/heads/--upload-pack=x\" begins with \"-\", like an option");
	run = house_push(&house);
	house_settle(&house);
	assert_run(&house, run, "success");
	house_end(&house);
}

static void a_repository_that_vanished_is_infra(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	house_write(&house, ".penstock.yml", "stages: {a: {run: 'true'}}\n");
	house_commit(&house, "x");
	cleanup_free char *aside = path_join(house.fixture->dir, "moved");
	int64_t run = house_push(&house);
	assert_int_equal(rename(house.repo, aside), 0);
	house_settle(&house);
	cleanup_free char *expected =
		xasprintf("infra: the repository %s is gone: put it back, or correct its url in penstock.yml, then retry the run", house.repo);
	assert_run(&house, run, expected);

	assert_int_equal(rename(aside, house.repo), 0);
	cleanup_error struct error *err = NULL;
	core_event_begin(house.core);
	assert_ok(engine_retry_run(house.engine, run, NULL, "test", &run, &err), err);
	core_event_end(house.core, true);
	house_settle(&house);
	assert_run(&house, run, "success");
	house_end(&house);
}

static void a_cancelled_run_stops_what_runs_and_starts_no_more(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	house_write(&house, ".penstock.yml", "stages:\n  a: {run: 'echo up; sleep 300'}\n  b: {needs: [a], run: 'true'}\n");
	house_commit(&house, "x");
	int64_t run = house_push(&house);
	house_wait(&house, "SELECT 'x' FROM attempt JOIN stage ON stage.id = stage_id WHERE run_id = ? AND attempt.state = 'running'", run);
	cleanup_error struct error *err = NULL;
	core_event_begin(house.core);
	assert_ok(engine_cancel_run(house.engine, run, "ann", &err), err);
	assert_ok(engine_cancel_run(house.engine, run, "ann", &err), err);
	core_event_end(house.core, true);
	house_settle(&house);
	check_text(house_ask(&house, "SELECT outcome FROM run WHERE id = ?", run), "cancelled", __FILE__, __LINE__);
	check_text(house_ask(&house, "SELECT group_concat(name || ' ' || outcome, '; ') FROM stage WHERE run_id = ?", run),
		   "a cancelled; b cancelled", __FILE__, __LINE__);
	core_event_begin(house.core);
	assert_int_equal(engine_cancel_run(house.engine, run, "ann", &err), -1);
	core_event_end(house.core, false);
	assert_error(err, ERROR_CONFLICT, "run 1 is finished already");
	house_end(&house);
}

static void a_daemon_that_comes_back_attaches(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	house_write(&house, ".penstock.yml",
		    "stages:\n"
		    "  a: {run: 'echo once >> ckpt/n; while ! test -e ckpt/go; do sleep 0.05; done', checkpoint: ckpt/, outputs: [a.yml]}\n"
		    "  b: {needs: [a], run: 'true'}\n");
	house_write(&house, "a.yml", "x");
	house_commit(&house, "x");
	int64_t run = house_push(&house);
	house_wait(&house, "SELECT 'x' FROM attempt JOIN stage ON stage.id = stage_id WHERE run_id = ? AND attempt.state = 'running'", run);
	house_shut(&house);
	cleanup_free char *go = path_join(house.fixture->dir, "state/runs/1/checkpoints/0/go"),
			  *n = path_join(house.fixture->dir, "state/runs/1/checkpoints/0/n");
	cleanup_error struct error *err = NULL;
	assert_ok(file_write_atomic(go, "", 0, 0644, &err), err);
	house_open(&house);
	house_settle(&house);
	assert_stages(&house, run, "a success; b success");
	cleanup_free char *text = NULL;
	assert_ok(file_read(n, 1000, &text, NULL, &err), err);
	assert_string_equal(text, "once\n");
	house_end(&house);
}

static void a_daemon_that_comes_back_before_the_sync_ended_syncs_again(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	house_write(&house, ".penstock.yml", "stages: {a: {run: 'true'}}\n");
	house_commit(&house, "x");
	int64_t run = house_push(&house);
	house_wait(&house, "SELECT 'x' FROM run WHERE id = ? AND state = 'syncing'", run);
	house_shut(&house);
	house_open(&house);
	house_settle(&house);
	assert_run(&house, run, "success");
	check_text(house_ask(&house, "SELECT count(*) FROM run WHERE id >= ?", 0), "1", __FILE__, __LINE__);
	house_end(&house);
}

/* A daemon in a process of its own, killed with SIGKILL after some milliseconds; true if it had come to the end before. */
static bool live_and_die(struct house *house, unsigned milliseconds)
{
	pid_t pid = fork();
	if (pid == 0) {
		house_open(house);
		house_settle(house);
		house_shut(house);
		_exit(0);
	}
	int status = 0;
	for (unsigned i = 0; i < milliseconds && waitpid(pid, &status, WNOHANG) == 0; i++)
		usleep(1000); /* being killed at any moment is what this is about */
	if (kill(pid, 0) < 0)
		return WIFEXITED(status) && WEXITSTATUS(status) == 0;
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void killed_at_any_moment_nothing_runs_twice_and_all_runs_once(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	house_write(&house, ".penstock.yml",
		    "stages:\n"
		    "  a: {run: 'echo x >> ckpt/n; sleep 0.1; echo 1 > a.txt', checkpoint: ckpt/, outputs: [a.txt]}\n"
		    "  b: {run: 'echo x >> ckpt/n; sleep 0.05', checkpoint: ckpt/}\n"
		    "  c: {needs: [a, b], run: 'echo x >> ckpt/n; cat a.txt', checkpoint: ckpt/}\n");
	house_commit(&house, "x");
	for (unsigned round = 0; round < 6; round++) {
		int64_t run = house_push(&house);
		core_commit(house.core);
		house_shut(&house);
		unsigned lives = 0;
		while (!live_and_die(&house, 5 + (round * 37 + lives * 13) % 60 + lives * 4))
			assert_true(++lives < 200);
		house_open(&house);
		house_settle(&house);
		assert_stages(&house, run, "a success; b success; c success");
		for (int stage = 0; stage < 3; stage++) {
			cleanup_free char *file = xasprintf("%s/state/runs/%lld/checkpoints/%d/n", house.fixture->dir, (long long)run, stage),
					  *text = NULL;
			cleanup_error struct error *err = NULL;
			assert_ok(file_read(file, 100, &text, NULL, &err), err);
			assert_string_equal(text, "x\n");
		}
	}
	house_end(&house);
}

/* Found by its argument, which everybody may read: for other than root, what it runs and has open is hidden. */
static void kill_leader(const char *attempt)
{
	const char *argv[] = {"/bin/sh", "-c",
			      "for p in /proc/[0-9]*; do if test \"$(tr '\\0' '\\n' 2>/dev/null <$p/cmdline | sed -n 2p)\" = \"$0\"; then "
			      "kill -9 ${p#/proc/}; fi; done; true",
			      attempt, NULL};
	cleanup_error struct error *err = NULL;
	struct child_result result;
	assert_ok(child_run(&(struct child_spec){.argv = argv}, &result, &err), err);
	child_result_done(&result);
}

static void a_lost_leader_costs_an_infrastructure_retry(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	house_write(&house, ".penstock.yml", "stages:\n  a: {run: 'test -e ckpt/x && exit 0; touch ckpt/x; sleep 300', checkpoint: ckpt/}\n");
	house_commit(&house, "x");
	int64_t run = house_push(&house);
	house_wait(&house, "SELECT 'x' FROM attempt JOIN stage ON stage.id = stage_id WHERE run_id = ? AND attempt.state = 'running'", run);
	cleanup_free char *dir = path_join(house.fixture->dir, "state/runs/1/attempts/0-1"),
			  *mark = path_join(house.fixture->dir, "state/runs/1/checkpoints/0/x");
	while (!path_exists(mark))
		usleep(1000);
	kill_leader(dir);
	house_settle(&house);
	assert_stages(&house, run, "a success");
	check_text(house_ask(&house, "SELECT group_concat(outcome, ' ') FROM attempt WHERE id >= ?", 0), "lost success", __FILE__, __LINE__);
	check_text(house_ask(&house, "SELECT user_failures || ' ' || infra_failures FROM stage WHERE run_id = ?", run), "0 1", __FILE__, __LINE__);
	house_end(&house);
}

static void a_retry_from_a_stage_reuses_what_came_before(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	cleanup_error struct error *err = NULL;
	int64_t again, run = push_pipeline(&house, "stages:\n"
						   "  a: {run: 'head -c 8 /dev/urandom | od -x > a.txt', outputs: [a.txt]}\n"
						   "  b: {needs: [a], run: 'cp a.txt b.txt', outputs: [b.txt]}\n"
						   "  c: {needs: [b], run: 'false'}\n"
						   "  d: {run: 'true'}\n");
	core_event_begin(house.core);
	assert_ok(engine_retry_run(house.engine, run, "b", "ann", &again, &err), err);
	core_event_end(house.core, true);
	house_settle(&house);
	assert_stages(&house, again, "a success: reused from run 1; b success; c failed: exit status 1; d success: reused from run 1");
	check_text(house_ask(&house, "SELECT count(DISTINCT outputs) FROM stage WHERE name IN ('a', 'b') AND run_id <= ?", again), "2", __FILE__,
		   __LINE__);
	core_event_begin(house.core);
	assert_int_equal(engine_retry_run(house.engine, run, "x", "ann", &again, &err), -1);
	core_event_end(house.core, false);
	assert_error(err, ERROR_NOT_FOUND, "run 1 has no stage \"x\"");
	house_end(&house);
}

static void a_retry_of_a_whole_run_runs_it_all(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	cleanup_error struct error *err = NULL;
	int64_t again, run = push_pipeline(&house, "stages:\n  a: {run: 'true'}\n  b: {needs: [a], run: 'false'}\n");
	core_event_begin(house.core);
	assert_ok(engine_retry_run(house.engine, run, NULL, "ann", &again, &err), err);
	core_event_end(house.core, true);
	house_settle(&house);
	assert_stages(&house, again, "a success; b failed: exit status 1");
	house_end(&house);
}

static void an_output_made_unreadable_is_the_stage_s_own_failure(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	int64_t run = push_pipeline(&house, "stages:\n  a: {run: 'echo x > a.txt && chmod 000 a.txt', outputs: [a.txt]}\n");
	assert_stages(&house, run, "a failed: penstock capture: output \"a.txt\": cannot open a.txt: Permission denied");
	house_end(&house);
}

static void a_disk_without_space_is_no_verdict_on_the_model(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	int64_t run = push_pipeline(&house, "stages:\n  a: {run: 'head -c 9 /dev/zero > /dev/full', retry: {infra_limit: 0}}\n");
	check_text(house_ask(&house, "SELECT outcome FROM stage WHERE run_id = ?", run), "infra", __FILE__, __LINE__);
	house_end(&house);
}

static void a_concurrency_group_lets_one_through_at_a_time(void **state)
{
	struct house house;
	house_begin(&house, state, "limits: {parallel_stages: 4}\n");
	house_write(&house, ".penstock.yml", "concurrency: {group: g, limit: 1, queue: latest}\nstages:\n  a: {run: 'sleep 0.4'}\n");
	house_commit(&house, "x");
	int64_t first = house_push(&house);
	house_wait(&house, "SELECT 'x' FROM run WHERE id = ? AND state = 'running'", first);
	int64_t second = house_push(&house), third = house_push(&house);
	house_settle(&house);
	assert_run(&house, first, "success");
	assert_run(&house, second, "cancelled: superseded by run 3 (queue: latest)");
	assert_run(&house, third, "success");
	house_end(&house);
}

static void a_secret_that_is_not_set_fails_the_stage(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	int64_t run = push_pipeline(&house, "stages:\n  a: {run: 'true', secrets: [HUB_TOKEN], retry: {limit: 1, on: [failed]}}\n");
	assert_stages(&house, run, "a failed: secret HUB_TOKEN is not set: set it with `penstock secret set HUB_TOKEN`");
	house_end(&house);
}

static void rows_that_make_no_sense_end_their_run_alone(void **state)
{
	struct house house;
	house_begin(&house, state, "");
	cleanup_error struct error *err = NULL;
	assert_ok(db_run(house.core->db, &err,
			 "INSERT INTO run (repository, facts, state, pipeline, created_ms) VALUES ('demo', '{', 'running', 'x', 0)", ""),
		  err);
	house_shut(&house);
	house_open(&house);
	int64_t run = push_pipeline(&house, "stages: {a: {run: 'true'}}\n");
	assert_run(&house, run, "success");
	check_text(house_ask(&house, "SELECT outcome FROM run WHERE id = ?", 1), "infra", __FILE__, __LINE__);
	house_end(&house);
}

/* Twenty rows; a model that is right `right` times in ten. */
static void write_predictions(struct house *house, unsigned right)
{
	struct buf b;
	buf_init(&b, 65536);
	buf_adds(&b, "y,p\n");
	for (unsigned i = 0; i < 200; i++) {
		bool label = i % 2 == 0, correct = (i / 2) % 10 < right;
		buf_addf(&b, "%d,%s\n", label, label == correct ? "0.9" : "0.1");
	}
	house_write(house, "pred.csv", b.data);
	buf_done(&b);
}

#define STORY                                                                                                                                        \
	"stages:\n"                                                                                                                                  \
	"  train: {run: 'mkdir out; cp pred.csv out/p.csv; echo model > out/model', outputs: [out/]}\n"                                              \
	"  score: {needs: [train], score: {predictions: out/p.csv, task: binary, label: y, prediction: p, metrics: [accuracy]}}\n"                   \
	"  gate:\n"                                                                                                                                  \
	"    needs: [score]\n"                                                                                                                       \
	"    gate:\n"                                                                                                                                \
	"      - accuracy >= 0.6\n"                                                                                                                  \
	"      - {metric: accuracy, no_worse_than: production, margin: 0.05}\n"                                                                      \
	"  image:\n"                                                                                                                                 \
	"    needs: [gate]\n"                                                                                                                        \
	"    build: {image: registry.local/m, base: none, layers: [{from: out/, to: /app/}], entrypoint: [/app/model], port: 8080}\n"                \
	"  go: {needs: [image], deploy: {target: prod, image: image}}\n"

/* What the program in PATH cannot do yet is left out, so that this file needs no order of building. */
static bool program_knows(const char *command)
{
	const char *argv[] = {PENSTOCK_PATH, command, "--help", NULL};
	cleanup_error struct error *err = NULL;
	struct child_result result;
	assert_ok(child_run(&(struct child_spec){.argv = argv}, &result, &err), err);
	bool knows = !strstr(result.err_text, "there is no command");
	child_result_done(&result);
	return knows;
}

static void a_model_goes_through_its_gates_to_a_release_and_is_measured_by_what_is_live(void **state)
{
	struct house house;
	if (!program_knows("score") || !program_knows("gate") || !program_knows("build"))
		skip();
	house_begin(&house, state, "targets: {prod: {process: {frontend: \"127.0.0.1:9000\", ports: 20000-20100}, allow: {branches: [other]}}}\n");
	cleanup_error struct error *err = NULL;
	write_predictions(&house, 9);
	int64_t run = push_pipeline(&house, STORY);
	check_text(house_ask(&house, "SELECT group_concat(name || ' ' || outcome, '; ') FROM stage WHERE run_id = ?", run),
		   "train success; score success; gate success; image success; go failed", __FILE__, __LINE__);
	check_text(house_ask(&house, "SELECT reason FROM run WHERE id = ?", run),
		   "go: target \"prod\" does not allow branch \"main\" (allow, in penstock.yml)", __FILE__, __LINE__);
	check_text(
		house_ask(&house,
			  "SELECT repository || ' ' || port || ' ' || (image LIKE 'sha256:%') || (version LIKE '%-1') FROM release WHERE run_id = ?",
			  run),
		"demo 8080 11", __FILE__, __LINE__);

	/* That release is live: a model that is worse is measured against it, and rejected with numbers. */
	assert_ok(db_run(house.core->db, &err, "INSERT INTO target (name, live_release) SELECT 'prod', id FROM release", ""), err);
	write_predictions(&house, 7);
	run = push_pipeline(&house, STORY);
	check_text(house_ask(&house, "SELECT outcome || (reason LIKE 'gate: %accuracy%') FROM run WHERE id = ?", run), "rejected1", __FILE__,
		   __LINE__);
	check_text(house_ask(&house, "SELECT json_array_length(result, '$.paired') > 0 FROM stage WHERE name = 'score' AND run_id = ?", run), "1",
		   __FILE__, __LINE__);
	house_end(&house);
}

static void old_runs_go_and_live_ones_stay(void **state)
{
	struct house house;
	if (!program_knows("build"))
		skip();
	house_begin(&house, state, "retention: {runs: 1ms, logs: 1ms}\n");
	cleanup_error struct error *err = NULL;
	house_write(&house, "a", "x");
	int64_t kept = push_pipeline(
		&house, "stages: {image: {build: {image: registry.local/m, base: none, layers: [{from: a, to: /a}], entrypoint: [/a]}}}\n");
	int64_t gone = push_pipeline(&house, "stages: {a: {run: 'date +%N > o', outputs: [o]}}\n");
	assert_run(&house, kept, "success");
	assert_ok(db_run(house.core->db, &err, "INSERT INTO target (name, live_release) SELECT 'prod', id FROM release", ""), err);
	assert_ok(db_run(house.core->db, &err, "UPDATE run SET finished_ms = finished_ms - 1000", ""), err);
	cleanup_free char *outputs = house_ask(&house, "SELECT outputs FROM stage WHERE run_id = ?", gone),
			  *image = house_ask(&house, "SELECT image FROM release WHERE id >= ?", 0);
	core_event_begin(house.core);
	assert_ok(retention_run(house.engine, &err), err);
	core_event_end(house.core, true);
	house_settle(&house);
	check_text(house_ask(&house, "SELECT group_concat(id) FROM run WHERE id >= ?", 0), "1", __FILE__, __LINE__);
	assert_true(oci_blob_exists(house.core->oci, image));
	assert_false(oci_blob_exists(house.core->oci, outputs));
	house_end(&house);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_stage_sees_the_outputs_of_all_it_needs),
		TEST(a_failure_names_the_stage_and_its_last_words),
		TEST(a_stage_that_takes_too_long_is_stopped),
		TEST(retries_have_a_budget_and_a_fresh_workspace),
		TEST(a_missing_output_fails_the_stage),
		TEST(a_matrix_runs_each_cell),
		TEST(inputs_narrow_the_workspace),
		TEST(a_bad_pipeline_starts_nothing_and_tells_why),
		TEST(an_unknown_target_is_a_mistake_of_the_pipeline),
		TEST(what_starts_nothing_says_why),
		TEST(several_pipelines_are_several_runs),
		TEST(a_hostile_branch_name_is_harmless),
		TEST(a_repository_that_vanished_is_infra),
		TEST(a_cancelled_run_stops_what_runs_and_starts_no_more),
		TEST(a_daemon_that_comes_back_attaches),
		TEST(a_daemon_that_comes_back_before_the_sync_ended_syncs_again),
		TEST(killed_at_any_moment_nothing_runs_twice_and_all_runs_once),
		TEST(a_lost_leader_costs_an_infrastructure_retry),
		TEST(a_retry_from_a_stage_reuses_what_came_before),
		TEST(a_retry_of_a_whole_run_runs_it_all),
		TEST(a_disk_without_space_is_no_verdict_on_the_model),
		TEST(an_output_made_unreadable_is_the_stage_s_own_failure),
		TEST(a_concurrency_group_lets_one_through_at_a_time),
		TEST(a_secret_that_is_not_set_fails_the_stage),
		TEST(a_model_goes_through_its_gates_to_a_release_and_is_measured_by_what_is_live),
		TEST(old_runs_go_and_live_ones_stay),
		TEST(rows_that_make_no_sense_end_their_run_alone),
	};
	loop_free(loop_new()); /* libuv keeps a pipe for signals from its first loop on */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
