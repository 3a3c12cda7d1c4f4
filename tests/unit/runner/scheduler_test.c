#include "tests/support/support.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "runner/scheduler.h"
#include "stages/stage.h"

#include <string.h>

struct planned {
	struct pipeline *pipeline;
	struct plan *plan;
};

/* The plan is NULL if the language refuses the text. */
static struct planned try_plan(const char *text)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	struct planned planned = {.pipeline = pipeline_parse(".penstock.yml", text, strlen(text), stage_kinds(), diags)};
	const struct event_facts facts = {.kind = EVENT_PUSH, .repository = "r", .branch = "main", .trusted = true};
	if (planned.pipeline && diag_errors(diags) == 0)
		planned.plan = plan_new(planned.pipeline, &facts, diags);
	return planned;
}

static struct planned plan_text(const char *text)
{
	struct planned planned = try_plan(text);
	if (!planned.plan)
		fail_msg("the language refuses: %s", text);
	return planned;
}

static void planned_done(struct planned *planned)
{
	plan_free(planned->plan);
	pipeline_free(planned->pipeline);
}

/* "a=success b=running": what is not named waits. */
static void read_states(const struct pipeline *pipeline, const char *text, struct sched_stage *stages)
{
	for (size_t i = 0; i < pipeline->n_stages; i++)
		stages[i] = (struct sched_stage){.state = SCHED_WAITING, .outcome = OUTCOME_NONE};
	for (const char *p = text; *p; p += strspn(p, " ")) {
		size_t name = strcspn(p, "="), word = strcspn(p + name + 1, " ");
		cleanup_free char *id = xstrndup(p, name), *state = xstrndup(p + name + 1, word);
		long i = pipeline_find(pipeline, id);
		assert_true(i >= 0);
		if (strcmp(state, "running") == 0) {
			stages[i].state = SCHED_RUNNING;
		} else {
			stages[i].state = SCHED_FINISHED;
			assert_true(outcome_from_name(state, &stages[i].outcome));
		}
		p += name + 1 + word;
	}
}

/* "start b; skip c (reason); finished failed by a" */
static char *describe(const struct pipeline *pipeline, const struct sched_decision *decision)
{
	struct buf b;
	buf_init(&b, 65536);
	for (size_t i = 0; i < decision->n; i++) {
		const struct sched_action *action = &decision->actions[i];
		const char *id = pipeline->stages[action->stage].id;
		buf_adds(&b, b.len ? "; " : "");
		switch (action->verb) {
		case SCHED_START:
			buf_addf(&b, "start %s", id);
			break;
		case SCHED_SKIP:
			buf_addf(&b, "%s %s (%s)", outcome_name(action->outcome), id, action->reason);
			break;
		case SCHED_CANCEL:
			buf_addf(&b, "cancel %s", id);
			break;
		}
	}
	if (decision->finished) {
		buf_addf(&b, "%sfinished %s", b.len ? "; " : "", outcome_name(decision->outcome));
		if (decision->blamed >= 0)
			buf_addf(&b, " by %s", pipeline->stages[decision->blamed].id);
	}
	return buf_steal(&b);
}

#define CHAIN "stages: {a: {run: x}, b: {needs: [a], run: x}, c: {needs: [b], run: x}}"
#define FAN "stages: {a: {run: x}, b: {run: x}, c: {run: x}, d: {needs: [a, b], run: x}}"
#define CLEAN                                                                                                                                        \
	"stages: {a: {run: x}, b: {needs: [a], run: x}, "                                                                                            \
	"tell: {needs: [b], when: {status: [failed]}, run: x}, "                                                                                     \
	"always: {needs: [b], when: {status: [success, failed]}, run: x}, "                                                                          \
	"last: {when: {status: [failed]}, run: x}}"
#define WHEN "stages: {a: {when: {branch: release}, run: x}, b: {needs: [a], run: x}, c: {run: x}}"

static const struct {
	const char *title, *pipeline, *states;
	unsigned slots;
	const char *cancelled_by, *expected;
} cases[] = {
	{"the first of a chain", CHAIN, "", 9, NULL, "start a"},
	{"the next when the one before succeeded", CHAIN, "a=success", 9, NULL, "start b"},
	{"nothing while it runs", CHAIN, "a=running", 9, NULL, ""},
	{"all that need nothing at once", FAN, "", 9, NULL, "start a; start b; start c"},
	{"as many as there are places", FAN, "", 2, NULL, "start a; start b"},
	{"none without a place", FAN, "a=success", 0, NULL, ""},
	{"not before all needs succeeded", FAN, "a=success b=running c=success", 9, NULL, ""},
	{"a failure skips what needs it, and that what needs that", CHAIN, "a=failed", 9, NULL,
	 "skipped b (needs \"a\", which ended failed); skipped c (needs \"b\", which ended skipped); finished failed by a"},
	{"a failure does not stop the others", FAN, "a=failed b=running", 9, NULL, "start c; skipped d (needs \"a\", which ended failed)"},
	{"no verdict but success lets others follow", CHAIN, "a=rejected", 9, NULL,
	 "skipped b (needs \"a\", which ended rejected); skipped c (needs \"b\", which ended skipped); finished rejected by a"},
	{"success when all succeeded", CHAIN, "a=success b=success c=success", 9, NULL, "finished success"},
	{"not finished while one runs", FAN, "a=failed b=failed c=running d=skipped", 9, NULL, ""},
	{"the gravest outcome is the run's", FAN, "a=infra b=failed c=success d=skipped", 9, NULL, "finished failed by b"},
	{"clean-up when something failed", CLEAN, "a=failed", 9, NULL,
	 "skipped b (needs \"a\", which ended failed); start tell; start always; start last"},
	{"no clean-up when nothing did", CLEAN, "a=success b=success", 9, NULL,
	 "skipped tell (nothing failed); start always; skipped last (nothing failed)"},
	{"clean-up waits for what may still fail", CLEAN, "a=success b=running", 9, NULL, ""},
	{"a condition that does not hold skips, and what needs it", WHEN, "", 9, NULL,
	 "skipped a (branch main matches none of [release]); skipped b (needs \"a\", which ended skipped); start c"},
	{"a run of skipped stages is skipped", "stages: {a: {when: {branch: release}, run: x}}", "", 9, NULL,
	 "skipped a (branch main matches none of [release]); finished skipped"},
	{"cancelling stops what runs and starts no more", CHAIN, "a=running", 9, "ann",
	 "cancel a; cancelled b (cancelled by ann); cancelled c (cancelled by ann)"},
	{"cancelled once all have stopped", CHAIN, "a=cancelled b=cancelled c=cancelled", 9, "ann", "finished cancelled"},
	{"cancelled too late", CHAIN, "a=success b=success c=success", 9, "ann", "finished success"},
	{"a run that was cancelled after a failure is cancelled", FAN, "a=failed b=cancelled c=cancelled d=cancelled", 9, "ann",
	 "finished cancelled"},
	{"a rollout taken back is told as such", CHAIN, "a=success b=success c=rolled_back", 9, NULL, "finished rolled_back by c"},
};

static void the_table_of_cases_holds(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct planned planned = plan_text(cases[i].pipeline);
		cleanup_arena struct arena *arena = arena_new();
		struct sched_stage stages[16];
		read_states(planned.pipeline, cases[i].states, stages);
		const struct sched_input input = {.plan = planned.plan,
						  .stages = stages,
						  .free_slots = cases[i].slots,
						  .cancelled = cases[i].cancelled_by,
						  .cancelled_by = cases[i].cancelled_by};
		struct sched_decision decision;
		scheduler_next(&input, arena, &decision);
		cleanup_free char *got = describe(planned.pipeline, &decision);
		if (strcmp(got, cases[i].expected) != 0)
			fail_msg("%s:\nexpected %s\n     got %s", cases[i].title, cases[i].expected, got);
		planned_done(&planned);
	}
}

static void only_what_was_asked_for_runs(void **state)
{
	(void)state;
	struct planned planned = plan_text(FAN);
	cleanup_arena struct arena *arena = arena_new();
	struct sched_stage stages[4];
	const bool selected[4] = {true, false, false, false};
	read_states(planned.pipeline, "", stages);
	struct sched_decision decision;
	scheduler_next(&(struct sched_input){.plan = planned.plan, .stages = stages, .selected = selected, .free_slots = 4}, arena, &decision);
	cleanup_free char *got = describe(planned.pipeline, &decision);
	assert_string_equal(got, "start a; skipped b (not asked for); skipped c (not asked for); skipped d (not asked for)");
	planned_done(&planned);
}

static void a_rollout_takes_no_place(void **state)
{
	(void)state;
	struct planned planned = plan_text(FAN);
	cleanup_arena struct arena *arena = arena_new();
	struct sched_stage stages[4];
	read_states(planned.pipeline, "", stages);
	stages[1].free_of_slots = true;
	struct sched_decision decision;
	scheduler_next(&(struct sched_input){.plan = planned.plan, .stages = stages, .free_slots = 0}, arena, &decision);
	cleanup_free char *got = describe(planned.pipeline, &decision);
	assert_string_equal(got, "start b");
	planned_done(&planned);
}

static void budgets_are_separate(void **state)
{
	(void)state;
	static const char *const on[] = {"timeout", "exit:75"};
	const struct retry retry = {.limit = 2, .on = {on, 2}, .infra_limit = 1};
	static const struct {
		enum outcome outcome;
		int exit_code;
		unsigned user, infra;
		bool again;
	} table[] = {{OUTCOME_TIMEOUT, 0, 0, 9, true},    {OUTCOME_TIMEOUT, 0, 1, 0, true},   {OUTCOME_TIMEOUT, 0, 2, 0, false},
		     {OUTCOME_FAILED, 75, 0, 0, true},    {OUTCOME_FAILED, 75, 2, 0, false},  {OUTCOME_FAILED, 7, 0, 0, false},
		     {OUTCOME_OOM, 0, 0, 0, false},       {OUTCOME_INFRA, 0, 9, 0, true},     {OUTCOME_INFRA, 0, 0, 1, false},
		     {OUTCOME_LOST, 0, 0, 0, true},       {OUTCOME_PREEMPTED, 0, 0, 0, true}, {OUTCOME_REJECTED, 3, 0, 0, false},
		     {OUTCOME_CANCELLED, 0, 0, 0, false}, {OUTCOME_SUCCESS, 0, 0, 0, false}};
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (scheduler_retries(&retry, table[i].outcome, table[i].exit_code, table[i].user, table[i].infra) != table[i].again)
			fail_msg("row %zu", i);
}

/* "r" runs, "w" waits, "l" waits with queue: latest, "-" is in no group; limit before the colon. Answers: R running, G go, W wait, Sn superseded. */
static void groups_admit_in_their_order(void **state)
{
	(void)state;
	static const char *const table[][2] = {
		{"1:w", "G"},       {"1:rw", "RW"},    {"1:ww", "GW"}, {"2:www", "GGW"},     {"2:rww", "RGW"},
		{"1:-r-w", "GRGW"}, {"1:l", "G"},      {"1:rl", "RW"}, {"1:rll", "RS3W"},    {"1:rlll", "RS4S4W"},
		{"1:ll", "S2G"},    {"2:lll", "S3GG"}, {"1:wr", "WR"}, {"2:rlll", "RS4S4G"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct sched_run runs[8];
		struct sched_admitted admitted[8];
		const char *marks = strchr(table[i][0], ':') + 1;
		size_t n = strlen(marks);
		for (size_t k = 0; k < n; k++)
			runs[k] = (struct sched_run){.id = (int64_t)k + 1,
						     .repository = "r",
						     .group = marks[k] == '-' ? NULL : "g",
						     .limit = (unsigned)(table[i][0][0] - '0'),
						     .latest = marks[k] == 'l',
						     .running = marks[k] == 'r'};
		scheduler_admit(runs, n, admitted);
		struct buf b;
		buf_init(&b, 256);
		for (size_t k = 0; k < n; k++) {
			buf_addc(&b, "RGWS"[admitted[k].admission]);
			if (admitted[k].admission == ADMIT_SUPERSEDED)
				buf_addf(&b, "%d", (int)admitted[k].by);
		}
		if (strcmp(b.data, table[i][1]) != 0)
			fail_msg("%s: expected %s, got %s", table[i][0], table[i][1], b.data);
		buf_done(&b);
	}
}

static void groups_of_two_repositories_are_two(void **state)
{
	(void)state;
	const struct sched_run runs[] = {{1, "a", "g", 1, false, true}, {2, "b", "g", 1, false, false}};
	struct sched_admitted admitted[2];
	scheduler_admit(runs, 2, admitted);
	assert_int_equal(admitted[1].admission, ADMIT_GO);
}

/* ---- random graphs ---- */

static uint32_t dice_state = 1;
static unsigned dice(unsigned sides)
{
	dice_state = dice_state * 1664525u + 1013904223u;
	return (dice_state >> 8) % sides;
}

static char *random_pipeline(unsigned n)
{
	struct buf b;
	buf_init(&b, 65536);
	buf_adds(&b, "stages:\n");
	for (unsigned i = 0; i < n; i++) {
		buf_addf(&b, "  s%u: {run: x", i);
		bool any = false;
		for (unsigned k = 0; k < i; k++)
			if (dice(4) == 0) {
				buf_addf(&b, "%ss%u", any ? ", " : ", needs: [", k);
				any = true;
			}
		static const char *const statuses[] = {"", "", "", ", when: {status: [failed]}", ", when: {status: [success, failed]}"};
		buf_addf(&b, "%s%s}\n", any ? "]" : "", statuses[dice(5)]);
	}
	return buf_steal(&b);
}

static void check_start(const struct pipeline *pipeline, const struct sched_stage *stages, size_t i)
{
	const struct stage *stage = &pipeline->stages[i];
	assert_int_equal(stages[i].state, SCHED_WAITING);
	for (size_t k = 0; k < stage->n_needs; k++) {
		const struct sched_stage *need = &stages[stage->needs[k]];
		assert_int_equal(need->state, SCHED_FINISHED);
		if (!stage->when.present)
			assert_int_equal(need->outcome, OUTCOME_SUCCESS);
	}
}

/* Obeys the scheduler with stages that end as the dice say; returns how many turns it took. */
static unsigned simulate(const struct planned *planned, unsigned places)
{
	struct sched_stage stages[16] = {{0}};
	size_t n = planned->plan->n_stages;
	for (unsigned turn = 1;; turn++) {
		cleanup_arena struct arena *arena = arena_new();
		struct sched_decision decision;
		unsigned running = 0;
		for (size_t i = 0; i < n; i++)
			running += stages[i].state == SCHED_RUNNING;
		assert_true(running <= places && turn < 1000);
		scheduler_next(&(struct sched_input){.plan = planned->plan, .stages = stages, .free_slots = places - running}, arena, &decision);
		struct sched_stage before[16];
		memcpy(before, stages, sizeof(before));
		for (size_t k = 0; k < decision.n; k++) {
			size_t i = decision.actions[k].stage;
			bool start = decision.actions[k].verb == SCHED_START;
			assert_int_equal(before[i].state, SCHED_WAITING);
			if (start)
				check_start(planned->pipeline, stages, i);
			stages[i] = (struct sched_stage){.state = start ? SCHED_RUNNING : SCHED_FINISHED, .outcome = decision.actions[k].outcome};
			running += start;
		}
		if (decision.finished)
			return turn;
		if (running == 0) {
			for (size_t i = 0; i < n; i++)
				print_error("%s %d %s\n", planned->pipeline->stages[i].id, (int)stages[i].state, outcome_name(stages[i].outcome));
			fail_msg("nothing runs and nothing starts, but it has not ended");
		}
		for (size_t i = 0; i < n; i++)
			if (stages[i].state == SCHED_RUNNING && dice(2) == 0)
				stages[i] = (struct sched_stage){.state = SCHED_FINISHED, .outcome = dice(4) == 0 ? OUTCOME_FAILED : OUTCOME_SUCCESS};
	}
}

static void random_graphs_end_and_keep_their_promises(void **state)
{
	(void)state;
	unsigned simulated = 0;
	for (unsigned round = 0; round < 600; round++) {
		cleanup_free char *text = random_pipeline(1 + dice(14));
		struct planned planned = try_plan(text); /* stages that can never run are refused, for one */
		if (planned.plan) {
			simulate(&planned, 1 + dice(4));
			simulated++;
		}
		planned_done(&planned);
	}
	assert_true(simulated > 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_of_cases_holds),
		cmocka_unit_test(only_what_was_asked_for_runs),
		cmocka_unit_test(a_rollout_takes_no_place),
		cmocka_unit_test(budgets_are_separate),
		cmocka_unit_test(groups_admit_in_their_order),
		cmocka_unit_test(groups_of_two_repositories_are_two),
		cmocka_unit_test(random_graphs_end_and_keep_their_promises),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
