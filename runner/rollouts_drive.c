/* One turn of a rollout as one event: evidence in, the machine's answer into rows, what is desired to the driver after the commit. */
#include "runner/rollouts_priv.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "runner/replay.h"

/* The state that counts: where a paused rollout came from, else its own. */
static enum rollout_state state_of(const struct rollout *machine)
{
	return machine->state == ROLLOUT_PAUSED ? machine->paused_from : machine->state;
}

/* ---- telling ---- */

static json_t *version_json(const struct release *release)
{
	return release->id
		       ? json_pack("{s:I, s:s, s:I}", "id", (json_int_t)release->id, "version", release->version, "run", (json_int_t)release->run_id)
		       : json_null();
}

static int tell(struct watched *watched, const char *kind, const char *actor, const struct rollout *machine, const json_t *verdict,
		struct error **err)
{
	const struct active *active = watched->active;
	char subject[48];
	snprintf(subject, sizeof(subject), "rollout/%lld", (long long)machine->id);
	cleanup_json json_t *data =
		json_pack("{s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:s, s:s}", "target", watched->name, "state", rollout_state_name(machine->state),
			  "step", (json_int_t)(rollout_is_judged(machine) ? machine->step + 1 : 0), "steps", (json_int_t)active->spec.n_steps, "weight_ppm",
			  (json_int_t)machine->candidate.weight_ppm, "candidate", version_json(&active->candidate), "stable",
			  version_json(&active->stable), "reason", machine->reason, "decided_by", machine->decided_by);
	if (verdict)
		json_object_set(data, "verdict", (json_t *)(uintptr_t)verdict);
	if (machine->waits_for[0])
		json_object_set_new(data, "waits_for", json_string(machine->waits_for));
	log_write(LOG_INFO, subject, "%s on %s: %s", kind, watched->name, machine->held ? machine->waits_for : machine->reason);
	return event_append(watched->rollouts->core, kind, subject, active->run_id, actor, data, err);
}

static const char *kind_of(const struct rollout *before, const struct rollout *now)
{
	switch (now->state) {
	case ROLLOUT_STARTING:
		return before->state == ROLLOUT_PAUSED ? "rollout.resumed" : "rollout.started";
	case ROLLOUT_STEPPING:
		return before->state == ROLLOUT_PAUSED && before->step == now->step ? "rollout.resumed" : "rollout.step";
	case ROLLOUT_VERIFYING:
		return before->state == ROLLOUT_PAUSED ? "rollout.resumed" : "rollout.verifying";
	case ROLLOUT_AWAITING:
		return "rollout.awaiting";
	case ROLLOUT_PAUSED:
		return "rollout.paused";
	case ROLLOUT_PROMOTING:
		return "rollout.promoting";
	case ROLLOUT_KEEPING_OLD:
		return before->state == ROLLOUT_PAUSED ? "rollout.resumed" : "rollout.promoted";
	case ROLLOUT_ROLLING_BACK:
		return "rollout.rolling_back";
	case ROLLOUT_PROMOTED:
		return before->state == ROLLOUT_KEEPING_OLD ? "rollout.finished" : "rollout.promoted";
	case ROLLOUT_ROLLED_BACK:
		return "rollout.rolled_back";
	case ROLLOUT_FAILED:
		return "rollout.failed";
	}
	abort();
}

static int tell_changes(struct watched *watched, const struct rollout_output *out, const char *actor, const json_t *verdict, struct error **err)
{
	const struct rollout *before = &watched->active->machine, *now = &out->next;
	if (out->changed_state || out->new_step)
		return tell(watched, kind_of(before, now), actor, now, verdict, err);
	if (now->held && (!before->held || strcmp(before->waits_for, now->waits_for) != 0))
		return tell(watched, "rollout.waiting", actor, now, verdict, err);
	if ((now->skip_waiting && !before->skip_waiting) || (now->emergency && !before->emergency))
		return tell(watched, "rollout.hurried", actor, now, NULL, err);
	if (now->approved_by[0] && !before->approved_by[0])
		return tell(watched, "rollout.approved", actor, now, NULL, err);
	return 0;
}

/* ---- ending ---- */

static int stage_is_open(struct core *core, int64_t stage_id, bool *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err, "SELECT 1 FROM stage WHERE id = ? AND state <> 'finished'", "i", stage_id) < 0)
		return -1;
	int more = db_step(q, err);
	*ret = more > 0;
	return more < 0 ? -1 : 0;
}

static int finish_stage(struct watched *watched, enum outcome outcome, const char *reason, struct error **err)
{
	struct rollouts *rollouts = watched->rollouts;
	int64_t stage_id = watched->active->stage_id;
	bool open = false;
	if (stage_id && stage_is_open(rollouts->core, stage_id, &open, err) < 0)
		return -1;
	return open ? rollouts->seams.finish_stage(rollouts->core->engine, stage_id, outcome, reason, err) : 0;
}

static enum outcome outcome_of(const struct rollout *machine)
{
	if (strcmp(machine->decided_by, "target") == 0)
		return OUTCOME_INFRA;
	if (machine->state == ROLLOUT_FAILED && strcmp(machine->decided_by, "operator") != 0)
		return OUTCOME_FAILED;
	return OUTCOME_ROLLED_BACK;
}

static bool is_asked_away(const struct active *active)
{
	return active->command && active->command[0];
}

static int end_rollout(struct watched *watched, const struct rollout *machine, struct error **err)
{
	struct core *core = watched->rollouts->core;
	struct active *active = watched->active;
	if (machine->state != ROLLOUT_PROMOTED) {
		/* It was the live release for a while. */
		if (machine->state == ROLLOUT_ROLLED_BACK && machine->promoted_at_ms && target_taken_back(core, watched->name, active, err) < 0)
			return -1;
		if (finish_stage(watched, is_asked_away(active) ? OUTCOME_CANCELLED : outcome_of(machine),
				 is_asked_away(active) ? active->command_by : machine->reason, err) < 0)
			return -1;
	}
	if (db_run(core->db, err, "UPDATE rollout SET finished_ms = ? WHERE id = ?", "ii", clock_wall_ms(), machine->id) < 0)
		return -1;
	return waiting_activate(core, watched->name, err);
}

/* All traffic was seen on the candidate: that is what the stage waited for. What follows is keeping the old copies. */
static int has_been_promoted(struct watched *watched, const struct rollout *machine, struct error **err)
{
	if (target_promoted(watched->rollouts->core, watched->name, watched->active, err) < 0)
		return -1;
	return finish_stage(watched, OUTCOME_SUCCESS, machine->reason, err);
}

/* ---- the turn ---- */

/* What a newer release or a cancelled run makes of this one. A promotion under way is let to its end: it takes a moment, and a first release
 * has nothing to go back to. */
static enum rollout_command asked_command(const struct watched *watched)
{
	const struct active *active = watched->active;
	const struct rollout *machine = &active->machine;
	bool superseded = is_asked_away(active) && strcmp(active->command, COMMAND_SUPERSEDE) == 0;
	if (!is_asked_away(active))
		return ROLLOUT_NONE;
	switch (state_of(machine)) {
	case ROLLOUT_STARTING:
	case ROLLOUT_VERIFYING:
	case ROLLOUT_STEPPING:
	case ROLLOUT_AWAITING:
		/* A person is on the way back from something bad: a newer release waits for that, it does not undo it. */
		return superseded && !active->stage_id ? ROLLOUT_NONE : ROLLOUT_ROLLBACK;
	case ROLLOUT_PROMOTING:
		for (unsigned i = 0; watched->has_actual && i < watched->actual.n_arms; i++)
			if (watched->actual.arms[i].ready && strcmp(watched->actual.arms[i].image, active->candidate.image) == 0)
				return ROLLOUT_NONE;
		return watched->has_actual ? ROLLOUT_ROLLBACK : ROLLOUT_NONE;
	case ROLLOUT_KEEPING_OLD:
		return superseded ? ROLLOUT_PROMOTE : ROLLOUT_NONE;
	case ROLLOUT_PAUSED:
	case ROLLOUT_ROLLING_BACK:
	case ROLLOUT_PROMOTED:
	case ROLLOUT_ROLLED_BACK:
	case ROLLOUT_FAILED:
		return ROLLOUT_NONE;
	}
	abort();
}

static const char *trouble_of(const struct watched *watched)
{
	if (!watched->target)
		return watched->open_error[0] ? watched->open_error : NULL;
	if (watched->trouble[0])
		return watched->trouble;
	return watched->look_error[0] ? watched->look_error : NULL;
}

/* What the verify command is doing, asked of its folder. */
static enum verify_status look_at_verify(struct watched *watched, char *why, size_t size)
{
	const struct active *active = watched->active;
	const struct rollout *machine = &active->machine;
	why[0] = '\0';
	if (state_of(machine) != ROLLOUT_VERIFYING || !active->spec.verify_run || !active->run_id)
		return VERIFY_NONE;
	if (watched->verify_error[0]) {
		snprintf(why, size, "%s", watched->verify_error);
		return VERIFY_FAILED;
	}
	return verify_look(watched->rollouts->core, active->run_id, machine->id, why, size);
}

/* After the commit. */
static void ask_for_verify(struct watched *watched, const struct rollout_output *out, enum verify_status status)
{
	const struct rollout *before = &watched->active->machine;
	bool verifies = state_of(&out->next) == ROLLOUT_VERIFYING;
	watched->verify_due = out->verify_due && verifies && status == VERIFY_NONE;
	watched->verify_over = state_of(before) == ROLLOUT_VERIFYING && !verifies;
	if (!verifies)
		watched->verify_error[0] = '\0';
}

static bool weigh(struct watched *watched, struct analysis_verdict *ret)
{
	struct active *active = watched->active;
	if (!active->analysis || !rollout_is_judged(&active->machine))
		return false;
	analysis_verdict(active->analysis, ret);
	return true;
}

/* What went in and what came out, for the replay. */
static int keep_turn(struct watched *watched, const struct rollout_input *input, const struct rollout_output *out, struct error **err)
{
	cleanup_json json_t *row = json_pack("{s:s, s:o, s:o, s:o}", "kind", "turn", "input", rollout_input_to_json(input), "machine",
					     rollout_to_json(&out->next), "verdict", input->verdict ? replay_verdict_json(input->verdict) : json_null());
	return observation_insert(watched->rollouts->core, out->next.id, out->next.step, row, err);
}

static int save_turn(struct watched *watched, const struct rollout_input *input, const struct rollout_output *out, const json_t *verdict, bool counted,
		     struct error **err)
{
	struct core *core = watched->rollouts->core;
	struct active *active = watched->active;
	const struct rollout *before = &active->machine, *now = &out->next;
	cleanup_json json_t *afresh = NULL;
	if (out->new_step && active->analysis) {
		/* What people are shown is the new step's, of which nothing is known yet. */
		struct analysis_verdict nothing_yet;
		analysis_step(active->analysis, now->step);
		analysis_verdict(active->analysis, &nothing_yet);
		afresh = verdict_json(&active->spec, active->analysis, &nothing_yet);
	}
	bool news = counted || out->changed_state || out->new_step;
	bool changed;
	if (active_save(core, active, now, afresh ? afresh : news ? verdict : NULL, &changed, err) < 0 || (changed && keep_turn(watched, input, out, err) < 0))
		return -1;
	if (out->changed_desired &&
	    db_run(core->db, err, "UPDATE target SET generation = ? WHERE name = ?", "is", (int64_t)now->generation, watched->name) < 0)
		return -1;
	bool promoted = out->changed_state && (now->state == ROLLOUT_KEEPING_OLD || now->state == ROLLOUT_PROMOTED) &&
			before->state != ROLLOUT_KEEPING_OLD && before->state != ROLLOUT_PAUSED;
	return promoted ? has_been_promoted(watched, now, err) : 0;
}

static int next_rollout(struct watched *watched, struct error **err)
{
	active_free(watched->active);
	watched->active = NULL;
	return active_load(watched->rollouts->core, watched->name, &watched->active, err);
}

int drive_active(struct watched *watched, const struct counts_report *report, enum rollout_command command, const char *actor,
		 const char **ret_refused, struct error **err)
{
	struct active *active = watched->active;
	struct analysis_verdict verdict;
	struct rollout_output out;
	bool counted;
	if (evidence_take(watched, report, &counted, err) < 0)
		return -1;
	bool judged = weigh(watched, &verdict);
	char verify_why[256];
	struct rollout_input input = {
		.spec = &active->spec,
		.stable = active->stable.id ? &active->stable : NULL,
		.candidate = &active->candidate,
		.actual = watched_actual(watched),
		.verdict = judged ? &verdict : NULL,
		.verify = look_at_verify(watched, verify_why, sizeof(verify_why)),
		.verify_why = verify_why,
		.command = command == ROLLOUT_NONE ? asked_command(watched) : command,
		.now_ms = clock_wall_ms(),
		.stable_replicas = active->stable_replicas,
		.command_by = actor,
		.command_why = command == ROLLOUT_NONE && is_asked_away(active) ? active->command_by : NULL,
		.trouble = trouble_of(watched),
		.trouble_is_final = watched->target && watched->trouble[0] && watched->trouble_is_final,
	};
	rollout_next(&active->machine, &input, &out);
	if (ret_refused)
		*ret_refused = out.refused;
	bool obeyed = command != ROLLOUT_NONE && !out.refused;
	cleanup_json json_t *json = judged ? verdict_json(&active->spec, active->analysis, &verdict) : NULL;
	if (save_turn(watched, &input, &out, json, counted, err) < 0 ||
	    tell_changes(watched, &out, obeyed ? actor : NULL, out.changed_state || out.new_step ? json : NULL, err) < 0)
		return -1;
	ask_for_verify(watched, &out, input.verify);
	active->machine = out.next;
	if (out.changed_desired) {
		watched->trouble[0] = '\0'; /* of what is not wanted any more */
		watched->apply_pause_ms = 0;
		watched->hand_over = true;
	}
	want_set(watched, &out.desired);
	if (rollout_is_final(out.next.state))
		return end_rollout(watched, &out.next, err) < 0 || next_rollout(watched, err) < 0 ? -1 : 0;
	return out.changed_desired ? 0 : want_compare(watched, err);
}

void watched_drive(struct watched *watched, const struct counts_report *report)
{
	struct core *core = watched->rollouts->core;
	cleanup_error struct error *err = NULL;
	core_event_begin(core);
	watched_effect(watched);
	int result = 0;
	if (watched->row_error[0])
		; /* What cannot be read is not touched: traffic stays as it is. */
	else if (watched->active)
		result = drive_active(watched, report, ROLLOUT_NONE, NULL, NULL, &err);
	else
		result = repair_idle(watched, &err);
	core_event_end(core, result == 0);
	if (result < 0)
		log_write(LOG_ERROR, watched->subject, "%s", error_message(err));
}
