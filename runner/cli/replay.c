/* `penstock replay`: every decision of a rollout once more, from what is stored. */
#include "runner/replay.h"

#include "base/alloc.h"
#include "base/file.h"
#include "runner/cli/rollout_commands.h"
#include "runner/cli/rollout_find.h"

#include <inttypes.h>
#include <string.h>

#define SAVED_KEY "penstock_replay"
enum { PAGE = 500, MAX_SAVED = 1 << 30 };

static const struct cli_usage usage = {
	CLI_SAVE | CLI_JSON | CLI_SOCKET,
	1,
	1,
	"Recomputes every decision of a rollout from its stored observations, with the same pure functions that the daemon runs,\n"
	"and compares: state, reason, e-values, to the last bit. Takes a rollout's number, a file that `--save` has written (no\n"
	"daemon is asked then), or a target for its newest rollout.",
	"0 all agree, 1 the first difference is shown, or no such rollout, 2 wrong usage or a damaged file, 5 the daemon is not reachable.",
	"penstock replay 7 --save rollout-7.json"};

/* Where observations come from, and what they are fed to. */
struct telling {
	const struct cli_arguments *arguments;
	struct arena *arena;
	struct rollout_spec spec;
	struct release stable, candidate;
	struct replay *replay;
	json_t *rollout, *kept; /* kept: all observations, for --save; else NULL */
};

static void telling_done(struct telling *telling)
{
	replay_free(telling->replay);
	json_decref(telling->rollout);
	json_decref(telling->kept);
	arena_free(telling->arena);
}
#define cleanup_session __attribute__((cleanup(telling_done)))

static int read_release(struct telling *telling, const json_t *json, struct release *ret, struct error **err)
{
	const char *version, *image;
	if (json_need_int(json, "id", &ret->id, err) < 0 || json_need_string(json, "version", &version, err) < 0 ||
	    json_need_string(json, "image", &image, err) < 0)
		return -1;
	ret->run_id = json_int_or(json, "run", 0);
	ret->version = arena_strdup(telling->arena, version);
	ret->image = arena_strdup(telling->arena, image);
	ret->repository = arena_strdup(telling->arena, json_string_or(json, "repository", ""));
	ret->commit = arena_strdup(telling->arena, json_string_or(json, "commit", ""));
	return 0;
}

static int begin(struct telling *telling, const json_t *rollout, struct error **err)
{
	const json_t *stable = json_object_get(rollout, "stable");
	if (rollout_spec_from_json(json_object_get(rollout, "spec"), telling->arena, &telling->spec, err) < 0)
		return error_context(err, "spec");
	if (read_release(telling, json_object_get(rollout, "candidate"), &telling->candidate, err) < 0)
		return error_context(err, "candidate");
	if (json_is_object(stable) && read_release(telling, stable, &telling->stable, err) < 0)
		return error_context(err, "stable");
	struct replay_setup setup = {
		.spec = &telling->spec,
		.stable = json_is_object(stable) ? &telling->stable : NULL,
		.candidate = &telling->candidate,
	};
	telling->replay = replay_new(&setup);
	telling->rollout = json_deep_copy(rollout);
	return 0;
}

/* *ret_last is the id of the last one; untouched if there is none. */
static int take_rows(struct telling *telling, const json_t *observations, int64_t *ret_last, struct error **err)
{
	const json_t *observation;
	size_t i;
	json_array_foreach(observations, i, observation)
	{
		const json_t *row = json_object_get(observation, "row");
		int64_t id, step;
		if (json_need_int(observation, "id", &id, err) < 0 || json_need_int(observation, "step", &step, err) < 0 ||
		    replay_row(telling->replay, id, step > 0 && step < ROLLOUT_MAX_STEPS ? (unsigned)step : 0, row, err) < 0)
			return -1;
		*ret_last = id;
		if (telling->kept)
			json_array_append(telling->kept, (json_t *)(uintptr_t)observation);
	}
	return 0;
}

static int take_page(struct telling *telling, int64_t id, int64_t *after, bool *ret_more, struct error **err)
{
	cleanup_json json_t *page = NULL;
	cleanup_free char *path = xasprintf("/v1/rollouts/%" PRId64 "/observations?after=%" PRId64 "&limit=%d", id, *after, PAGE);
	int64_t before = *after;
	if (client_call(telling->arguments, "GET", path, NULL, &page, err) < 0)
		return -1;
	if (!telling->replay && begin(telling, json_object_get(page, "rollout"), err) < 0)
		return -1;
	if (take_rows(telling, json_object_get(page, "observations"), after, err) < 0)
		return -1;
	*ret_more = json_bool_or(page, "more", false) && *after > before;
	return 0;
}

static int take_rollout(struct telling *telling, const char *word, struct error **err)
{
	int64_t id, after = 0;
	bool more = true;
	if (rollout_find(telling->arguments, word, &id, err) < 0)
		return -1;
	while (more)
		if (take_page(telling, id, &after, &more, err) < 0)
			return error_context(err, "rollout %" PRId64, id);
	return 0;
}

static int take_file(struct telling *telling, const char *path, struct error **err)
{
	cleanup_json json_t *saved = NULL;
	int64_t last = 0;
	if (json_read(path, MAX_SAVED, &saved, err) < 0)
		return -1;
	if (json_int_or(saved, SAVED_KEY, 0) != 1)
		return error_set(err, ERROR_INVALID, 0, "%s: this is no file that `penstock replay --save` of this version has written", path);
	if (begin(telling, json_object_get(saved, "rollout"), err) < 0 || take_rows(telling, json_object_get(saved, "observations"), &last, err) < 0)
		return error_context(err, "%s", path);
	return 0;
}

static int save(const struct telling *telling, const char *path, struct error **err)
{
	cleanup_json json_t *saved = json_pack("{s:i, s:O, s:O}", SAVED_KEY, 1, "rollout", telling->rollout, "observations", telling->kept);
	cleanup_free char *text = json_text(saved);
	return file_write_atomic(path, text, strlen(text), 0644, err);
}

/* Rows from whose end some were cut off agree among themselves. */
static int check_end(const struct telling *telling, struct error **err)
{
	struct replay_report report;
	enum rollout_state ended;
	const char *state = json_string_or(telling->rollout, "state", "");
	replay_report(telling->replay, &report);
	if (!report.has_state || !rollout_state_from_name(state, &ended) || !rollout_is_final(ended) || report.state == ended)
		return 0;
	return error_set(err, ERROR_INVALID, 0, "the rollout has ended (%s), but its observations end while it is %s: some are missing", state,
			 rollout_state_name(report.state));
}

/* ---- telling ---- */

static json_t *report_json(const struct telling *telling, const struct replay_report *report)
{
	return json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:o, s:o}", "rollout", (json_int_t)json_int_or(telling->rollout, "id", 0),
			 "target", json_string_or(telling->rollout, "target", ""), "decisions", (json_int_t)report->turns, "agreed",
			 (json_int_t)report->agreed, "blocks", (json_int_t)report->counts, "measures", (json_int_t)report->measures, "dropped",
			 (json_int_t)report->dropped, "evidence_only", !report->has_state, "agree",
			 report->turns ? json_boolean(report->differs_at == 0) : json_null(), "differs_at",
			 report->differs_at ? json_integer(report->differs_at) : json_null(), "difference",
			 report->difference[0] ? json_string(report->difference) : json_null());
}

static void tell_evidence(const struct telling *telling, const struct replay_report *report)
{
	struct analysis_verdict verdict;
	const struct analysis *analysis = replay_analysis(telling->replay);
	if (report->has_state) {
		printf("what it began with was not stored (version 0.1): decisions before the first one stored could not be recomputed\n");
		return;
	}
	printf("decisions were not stored when this rollout ran (version 0.1): only its evidence could be recomputed\n");
	if (!analysis)
		return;
	analysis_verdict(analysis, &verdict);
	printf("the evidence at its end: %s: %s\n", verdict_name(verdict.verdict), verdict.reason);
}

static int tell(const struct telling *telling, const struct replay_report *report)
{
	cleanup_json json_t *json = report_json(telling, report);
	int status = report->differs_at ? 1 : 0;
	if (telling->arguments->json)
		return client_print(json) ? 5 : status;
	printf("%" PRIu64 " decision%s, %" PRIu64 " agreed; %" PRIu64 " block%s", report->turns, report->turns == 1 ? "" : "s", report->agreed,
	       report->counts, report->counts == 1 ? "" : "s");
	if (report->measures)
		printf(", %" PRIu64 " answers of metric sources", report->measures);
	if (report->dropped)
		printf(", %" PRIu64 " stored but not used", report->dropped);
	printf("\n");
	if (!report->has_begin)
		tell_evidence(telling, report);
	if (report->differs_at)
		printf("the first difference is in observation %" PRId64 ": %s\n", report->differs_at, report->difference);
	return status;
}

int cli_replay(int argc, char **argv)
{
	struct cli_arguments arguments;
	int status = cli_arguments_parse(argc, argv, &usage, &arguments);
	if (status != CLI_GO_ON)
		return status;
	cleanup_error struct error *err = NULL;
	cleanup_session struct telling telling = {.arguments = &arguments, .arena = arena_new()};
	struct replay_report report;
	const char *word = arguments.words[0];
	int64_t number;
	if (arguments.save)
		telling.kept = json_array();
	bool file = !rollout_number(word, &number) && path_exists(word);
	if ((file ? take_file(&telling, word, &err) : take_rollout(&telling, word, &err)) < 0 || check_end(&telling, &err) < 0 ||
	    (arguments.save && save(&telling, arguments.save, &err) < 0))
		return cli_fail(&arguments, err);
	replay_report(telling.replay, &report);
	return tell(&telling, &report);
}
