/* Blue-green: the candidate at full size and without traffic is shown on the target's preview address and verified there; then all
 * traffic at once. */
#include "deployers/rollout_priv.h"

static void leave(struct turn *turn, const char *decided_by, const char *why)
{
	enter(turn, ROLLOUT_PROMOTING, decided_by, "%s", why);
}

static void ready(struct turn *turn)
{
	const struct rollout_spec *spec = turn->in->spec;
	bool has_preview = turn->in->actual->preview_url[0] != '\0';
	char copies[COPIES_SIZE];
	if (!spec->verify_run && !spec->verify_approve) {
		enter(turn, ROLLOUT_PROMOTING, "health", "%s; no verification was asked for", copies_are_ready(spec, copies));
		return;
	}
	if (spec->verify_run && !has_preview) {
		go_back(turn, "target", "target %s has no preview address to verify it on: set `preview` for it in the operator's file",
			spec->target);
		return;
	}
	enter(turn, ROLLOUT_VERIFYING, "health", "%s%s", copies_are_ready(spec, copies),
	      has_preview ? ", to be shown on the preview address" : "");
	turn->next->preview = has_preview;
	turn->next->verified = !spec->verify_run;
}

static void is_verified(struct turn *turn)
{
	const struct rollout *next = turn->next;
	const char *done = turn->in->spec->verify_run ? "verified on the preview address" : "all copies are ready";
	char why[160];
	if (!turn->in->spec->verify_approve) {
		leave(turn, "verify", done);
	} else if (next->approved_by[0]) {
		snprintf(why, sizeof(why), "%s, and approved by %s", done, next->approved_by);
		leave(turn, "operator", why);
	} else {
		await_person(turn, turn->in->spec->verify_run ? "verify" : next->decided_by, done);
	}
}

/* VERIFYING. A command that looked before the preview address was read back would have verified something else. */
static void step(struct turn *turn)
{
	struct rollout *next = turn->next;
	const struct actual *actual = turn->in->actual;
	const char *trouble = turn->in->trouble;
	bool shown = turn->known && strcmp(actual->preview_image, turn->in->candidate->image) == 0;
	next->step_confirmed = next->step_confirmed || shown;
	if (next->step_confirmed && turn->in->verify == VERIFY_PASSED)
		next->verified = true;
	if (next->verified) {
		is_verified(turn);
	} else if (shown) {
		turn->out->verify_due = true;
		wait_for(turn, false, "the verify command");
	} else if (!next->step_confirmed && elapsed_ms(turn) >= coming_up_ms(turn->in->spec)) {
		go_back(turn, "target", "the preview address did not show it when time was up%s%s", trouble ? ": " : "", trouble ? trouble : "");
	} else {
		wait_for(turn, trouble != NULL, "the preview address to show the candidate%s%s", trouble ? ": " : "", trouble ? trouble : "");
		if (!next->step_confirmed)
			wake_at(turn, next->step_since_ms + next->paused_ms + coming_up_ms(turn->in->spec));
	}
}

const struct strategy_ops strategy_blue_green = {
	.name = "blue_green",
	.doc = "all traffic at once, after the candidate was verified on the preview address",
	.ready = ready,
	.step = step,
	.leave = leave,
};
