/* What `penstock rollout watch` shows: one rollout as a page of at most 80 columns. Pure: JSON in, text out. */
#ifndef RUNNER_CLI_ROLLOUT_SCREEN_H
#define RUNNER_CLI_ROLLOUT_SCREEN_H

#include "runner/cli/screen.h"

enum { ROLLOUT_LOG_LINES = 8 };

/* `events`: those of the rollout, oldest first; the last ROLLOUT_LOG_LINES are shown. */
void add_rollout_screen(struct screen *screen, const json_t *rollout, const json_t *events, int64_t now_ms);
/* "12:03:44  step  step 2 of 4, 25%: ..." */
void add_event_line(struct screen *screen, const json_t *event);
/* One line that says how it stands now, for output that is no terminal. */
void add_rollout_line(struct screen *screen, const json_t *rollout, int64_t now_ms);
/* What has to differ for that line to be worth printing again; new reference. */
json_t *rollout_gist(const json_t *rollout);
#endif
