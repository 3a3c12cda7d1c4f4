/* The plan, by tables: each situation has its action. process_plan_world_test.c carries actions out while things go wrong. */
#include "deployers/process/plan.h"

#include "base/alloc.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#define ALL 1000000u
#define STABLE "sha256:aaaa"
#define CANDIDATE "sha256:bbbb"
#define OLDER "sha256:cccc"

struct case_server {
	unsigned id; /* 0: a stranger's */
	int slot;
	enum server_admin admin;
	bool up, checked;
	unsigned sessions;
};
struct plan_case {
	const char *title;
	struct instance_view instances[4];
	struct case_server servers[4];
	struct split split;
	bool no_split, unsettled, old_mark, router_down, silent, disk_is_wrong;
	unsigned old_workers;
	int shown; /* 1 + the slot that the preview address shows */
	struct plan_desired desired;
	enum plan_kind kind;
	unsigned id;
};

#define COPY(number, of, in, count, is)                                                                                                              \
	{                                                                                                                                            \
		.id = (number), .image = of, .slot = (in), .replica = (count), .port = (uint16_t)(100 + (number)), .run = (is), .start_due = true,   \
		.admitted = true                                                                                                                     \
	}
#define OLD(number, of, in, count, is)                                                                                                               \
	{                                                                                                                                            \
		.id = (number), .image = of, .slot = (in), .replica = (count), .port = (uint16_t)(100 + (number)), .run = (is), .outdated = true,    \
		.admitted = true                                                                                                                     \
	}
#define HUNG(number, of, in, overdue)                                                                                                                \
	{                                                                                                                                            \
		.id = (number), .image = of, .slot = (in), .port = (uint16_t)(100 + (number)), .run = RUN_RUNNING, .hung = true,                     \
		.drain_overdue = (overdue)                                                                                                           \
	}
#define UP(number, in)                                                                                                                               \
	{                                                                                                                                            \
		(number), (in), SERVER_READY, true, true, 0                                                                                          \
	}
#define ONE(image_, n, w)                                                                                                                            \
	{                                                                                                                                            \
		.arms = {{image_, n, w}}, .n_arms = 1, .generation = 5                                                                               \
	}
#define TWO(n1, w1, n2, w2)                                                                                                                          \
	{                                                                                                                                            \
		.arms = {{STABLE, n1, w1}, {CANDIDATE, n2, w2}}, .n_arms = 2, .generation = 5                                                        \
	}
#define SHOWN(arm)                                                                                                                                   \
	{                                                                                                                                            \
		.arms = {{STABLE, 1, ALL}, {CANDIDATE, 1, 0}}, .n_arms = 2, .generation = 5, .preview = (arm)                                        \
	}
#define SPLIT(candidate_, ppm_, generation_)                                                                                                         \
	{                                                                                                                                            \
		.candidate = (candidate_), .ppm = (ppm_), .generation = (generation_), .preview = SLOT_NONE                                          \
	}
enum { A = SLOT_A, B = SLOT_B };

static const struct plan_case cases[] = {
	{"no router yet", .router_down = true, .desired = ONE(STABLE, 1, ALL), .kind = PLAN_START_ROUTER},
	{"it starts", .silent = true, .desired = ONE(STABLE, 1, ALL), .kind = PLAN_WAIT},
	{"it has an older configuration", .old_mark = true, .desired = ONE(STABLE, 1, ALL), .kind = PLAN_RELOAD_ROUTER},
	{"first release: a copy is made", .no_split = true, .desired = ONE(STABLE, 1, ALL), .kind = PLAN_CREATE},
	{"it is started",
	 {COPY(1, STABLE, A, 0, RUN_NEW)},
	 .split = {-1, 0, 0, SLOT_NONE},
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_START,
	 .id = 1},
	{"and put behind the router",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING)},
	 .split = {-1, 0, 0, SLOT_NONE},
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_ADD_SERVER,
	 .id = 1},
	{"assumed up is not up",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING)},
	 {{1, A, SERVER_DRAIN, true, false, 0}},
	 {-1, 0, 0, SLOT_NONE},
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_WAIT},
	{"down is waited for",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING)},
	 {{1, A, SERVER_DRAIN, false, true, 0}},
	 {-1, 0, 0, SLOT_NONE},
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_WAIT},
	{"seen up: let in",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING)},
	 {{1, A, SERVER_DRAIN, true, true, 0}},
	 {-1, 0, 0, SLOT_NONE},
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_ADMIT,
	 .id = 1},
	{"up: gets the traffic",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING)},
	 {UP(1, A)},
	 {-1, 0, 0, SLOT_NONE},
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_SET_SPLIT},
	{"all true", {COPY(1, STABLE, A, 0, RUN_RUNNING)}, {UP(1, A)}, {A, ALL, 5, SLOT_NONE}, .desired = ONE(STABLE, 1, ALL), .kind = PLAN_DONE},
	{"one of two is not enough to begin with",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), {.id = 2, .image = STABLE, .slot = A, .replica = 1, .port = 102, .run = RUN_RUNNING, .waiting = true}},
	 {UP(1, A), {2, A, SERVER_DRAIN, false, true, 0}},
	 {-1, 0, 0, SLOT_NONE},
	 .desired = ONE(STABLE, 2, ALL),
	 .kind = PLAN_WAIT},
	{"unless it is an emergency",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), {.id = 2, .image = STABLE, .slot = A, .replica = 1, .port = 102, .run = RUN_RUNNING, .waiting = true}},
	 {UP(1, A), {2, A, SERVER_DRAIN, false, true, 0}},
	 {-1, 0, 0, SLOT_NONE},
	 .desired = {.arms = {{STABLE, 2, ALL}}, .n_arms = 1, .generation = 5, .hurry = true},
	 .kind = PLAN_SET_SPLIT},
	{"in which nobody is still too few",
	 {{.id = 2, .image = STABLE, .slot = A, .port = 102, .run = RUN_RUNNING, .waiting = true}},
	 {{2, A, SERVER_DRAIN, false, true, 0}},
	 {-1, 0, 0, SLOT_NONE},
	 .desired = {.arms = {{STABLE, 1, ALL}}, .n_arms = 1, .generation = 5, .hurry = true},
	 .kind = PLAN_WAIT},
	{"or unless the other will not come",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), {.id = 2, .image = STABLE, .slot = A, .replica = 1, .port = 102, .run = RUN_RUNNING, .failed = true}},
	 {UP(1, A), {2, A, SERVER_DRAIN, false, true, 0}},
	 {-1, 0, 0, SLOT_NONE},
	 .desired = ONE(STABLE, 2, ALL),
	 .kind = PLAN_SET_SPLIT},
	{"a candidate takes the other slot",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING)},
	 {UP(1, A)},
	 {A, ALL, 5, SLOT_NONE},
	 .desired = TWO(1, ALL, 1, 0),
	 .kind = PLAN_CREATE},
	{"a candidate that is down gets nothing",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), {.id = 2, .image = CANDIDATE, .slot = B, .port = 102, .run = RUN_RUNNING, .failed = true}},
	 {UP(1, A), {2, B, SERVER_DRAIN, false, true, 0}},
	 {B, 0, 4, SLOT_NONE},
	 .desired = TWO(1, ALL / 2, 1, ALL / 2),
	 .kind = PLAN_FAILED},
	{"more for a candidate that is up",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {UP(1, A), UP(2, B)},
	 {B, 50000, 4, SLOT_NONE},
	 .desired = TWO(1, ALL / 2, 1, ALL / 2),
	 .kind = PLAN_SET_SPLIT},
	{"going back does not wait for the stable arm's last copy",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING),
	  {.id = 3, .image = STABLE, .slot = A, .replica = 1, .port = 103, .run = RUN_DEAD, .waiting = true, .start_due = true},
	  COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {UP(1, A), UP(2, B)},
	 {B, ALL / 2, 4, SLOT_NONE},
	 .desired = TWO(2, ALL, 1, 0),
	 .kind = PLAN_SET_SPLIT},
	{"but needs one that is up",
	 {COPY(1, STABLE, A, 0, RUN_DEAD), COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {{1, A, SERVER_READY, false, true, 0}, UP(2, B)},
	 {B, ALL, 4, SLOT_NONE},
	 .desired = TWO(1, ALL, 1, 0),
	 .kind = PLAN_START,
	 .id = 1},
	{"what has traffic stays, wanted or not",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {UP(1, A), {2, B, SERVER_DRAIN, false, true, 0}},
	 {A, ALL, 4, SLOT_NONE},
	 .desired = ONE(CANDIDATE, 1, ALL),
	 .kind = PLAN_WAIT},
	{"also while it is down for a moment",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {{1, A, SERVER_READY, false, true, 0}, {2, B, SERVER_DRAIN, false, true, 0}},
	 {A, ALL, 4, SLOT_NONE},
	 .desired = ONE(CANDIDATE, 1, ALL),
	 .kind = PLAN_WAIT},
	{"without traffic it is drained",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {UP(1, A), UP(2, B)},
	 {B, ALL, 5, SLOT_NONE},
	 .desired = ONE(CANDIDATE, 1, ALL),
	 .kind = PLAN_DRAIN,
	 .id = 1},
	{"not before the map's change has settled",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {UP(1, A), UP(2, B)},
	 {B, ALL, 5, SLOT_NONE},
	 .unsettled = true,
	 .desired = ONE(CANDIDATE, 1, ALL),
	 .kind = PLAN_WAIT},
	{"its requests are waited for",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {{1, A, SERVER_DRAIN, true, true, 3}, UP(2, B)},
	 {B, ALL, 5, SLOT_NONE},
	 .desired = ONE(CANDIDATE, 1, ALL),
	 .kind = PLAN_WAIT},
	{"for a time",
	 {{.id = 1, .image = STABLE, .slot = A, .port = 101, .run = RUN_RUNNING, .drain_overdue = true}, COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {{1, A, SERVER_DRAIN, true, true, 3}, UP(2, B)},
	 {B, ALL, 5, SLOT_NONE},
	 .desired = ONE(CANDIDATE, 1, ALL),
	 .kind = PLAN_CUT,
	 .id = 1},
	{"idle: disabled",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {{1, A, SERVER_DRAIN, true, true, 0}, UP(2, B)},
	 {B, ALL, 5, SLOT_NONE},
	 .desired = ONE(CANDIDATE, 1, ALL),
	 .kind = PLAN_DISABLE,
	 .id = 1},
	{"disabled: deleted",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {{1, A, SERVER_MAINT, true, true, 0}, UP(2, B)},
	 {B, ALL, 5, SLOT_NONE},
	 .desired = ONE(CANDIDATE, 1, ALL),
	 .kind = PLAN_DELETE_SERVER,
	 .id = 1},
	{"deleted: stopped",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {UP(2, B)},
	 {B, ALL, 5, SLOT_NONE},
	 .desired = ONE(CANDIDATE, 1, ALL),
	 .kind = PLAN_STOP,
	 .id = 1},
	{"not while the worker before a reload may still talk to it",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {UP(2, B)},
	 {B, ALL, 5, SLOT_NONE},
	 .old_workers = 1,
	 .desired = ONE(CANDIDATE, 1, ALL),
	 .kind = PLAN_WAIT},
	{"stopped: removed",
	 {COPY(1, STABLE, A, 0, RUN_STOPPED), COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {UP(2, B)},
	 {B, ALL, 5, SLOT_NONE},
	 .desired = ONE(CANDIDATE, 1, ALL),
	 .kind = PLAN_REMOVE,
	 .id = 1},
	{"fewer copies: the last one leaves once the others are up",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, STABLE, A, 1, RUN_RUNNING)},
	 {UP(1, A), UP(2, A)},
	 {A, ALL, 5, SLOT_NONE},
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_DRAIN,
	 .id = 2},
	{"and not before",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, STABLE, A, 1, RUN_RUNNING)},
	 {{1, A, SERVER_READY, false, true, 0}, UP(2, A)},
	 {A, ALL, 5, SLOT_NONE},
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_WAIT},
	{"a dead copy is started again",
	 {COPY(1, STABLE, A, 0, RUN_DEAD), COPY(2, STABLE, A, 1, RUN_RUNNING)},
	 {{1, A, SERVER_READY, false, true, 0}, UP(2, A)},
	 {A, ALL, 5, SLOT_NONE},
	 .desired = ONE(STABLE, 2, ALL),
	 .kind = PLAN_START,
	 .id = 1},
	{"after its pause",
	 {{.id = 1, .image = STABLE, .slot = A, .port = 101, .run = RUN_DEAD, .waiting = true}, COPY(2, STABLE, A, 1, RUN_RUNNING)},
	 {{1, A, SERVER_READY, false, true, 0}, UP(2, A)},
	 {A, ALL, 5, SLOT_NONE},
	 .desired = ONE(STABLE, 2, ALL),
	 .kind = PLAN_WAIT},
	{"a dead copy that lost its port is replaced",
	 {{.id = 1, .image = STABLE, .slot = A, .port = 101, .run = RUN_DEAD, .retired = true}, COPY(2, STABLE, A, 1, RUN_RUNNING)},
	 {UP(2, A)},
	 {A, ALL, 5, SLOT_NONE},
	 .desired = ONE(STABLE, 2, ALL),
	 .kind = PLAN_CREATE},
	{"a map changed by hand is written again",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING)},
	 {UP(1, A)},
	 {B, 900000, 5, SLOT_NONE},
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_SET_SPLIT},
	{"an emptied one too",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING)},
	 {UP(1, A)},
	 .no_split = true,
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_SET_SPLIT},
	{"a server disabled by hand is made anew",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING)},
	 {{1, A, SERVER_MAINT, true, true, 0}},
	 {A, ALL, 5, SLOT_NONE},
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_DELETE_SERVER,
	 .id = 1},
	{"a stranger's server is drained",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING)},
	 {UP(1, A), {0, A, SERVER_READY, true, true, 0}},
	 {A, ALL, 5, SLOT_NONE},
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_DRAIN},
	{"a third release waits for a slot",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, OLDER, B, 0, RUN_RUNNING)},
	 {UP(1, A), {2, B, SERVER_DRAIN, true, true, 1}},
	 {A, ALL, 5, SLOT_NONE},
	 .desired = TWO(1, ALL, 1, 0),
	 .kind = PLAN_WAIT},
	{"nothing is wanted: first no traffic",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING)},
	 {UP(1, A)},
	 {A, ALL, 5, SLOT_NONE},
	 .desired = {.generation = 5},
	 .kind = PLAN_SET_SPLIT},
	/* Hanging. */
	{"a copy that hangs gets no more requests",
	 {HUNG(1, STABLE, A, false)},
	 {{1, A, SERVER_READY, false, true, 2}},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_DRAIN,
	 .id = 1},
	{"those it has are waited for",
	 {HUNG(1, STABLE, A, false)},
	 {{1, A, SERVER_DRAIN, false, true, 2}},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_WAIT},
	{"for a time, too",
	 {HUNG(1, STABLE, A, true)},
	 {{1, A, SERVER_DRAIN, false, true, 2}},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_CUT,
	 .id = 1},
	{"then it is restarted",
	 {HUNG(1, STABLE, A, false)},
	 {{1, A, SERVER_DRAIN, false, true, 0}},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_RESTART,
	 .id = 1},
	{"unless it answers again",
	 {HUNG(1, STABLE, A, false)},
	 {{1, A, SERVER_DRAIN, true, true, 0}},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_ADMIT,
	 .id = 1},
	{"its end is waited for, nothing takes its place",
	 {COPY(1, STABLE, A, 0, RUN_RESTARTING)},
	 {{1, A, SERVER_DRAIN, false, true, 0}},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_WAIT},
	{"one that is not wanted any more is not started again",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, STABLE, A, 1, RUN_RESTARTING)},
	 {UP(1, A)},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_WAIT},
	{"two that are not wanted and hang make room",
	 {HUNG(1, STABLE, A, false), HUNG(2, OLDER, B, false)},
	 {{1, A, SERVER_READY, false, true, 0}, {2, B, SERVER_READY, false, true, 0}},
	 SPLIT(A, 250000, 4),
	 .desired = ONE(CANDIDATE, 1, ALL),
	 .kind = PLAN_SET_SPLIT},
	/* Other limits. */
	{"other limits: a new copy is made beside the old one",
	 {OLD(1, STABLE, A, 0, RUN_RUNNING), OLD(2, STABLE, A, 1, RUN_RUNNING)},
	 {UP(1, A), UP(2, A)},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 2, ALL),
	 .kind = PLAN_CREATE},
	{"which stays until the new one takes traffic",
	 {OLD(1, STABLE, A, 0, RUN_RUNNING), OLD(2, STABLE, A, 1, RUN_RUNNING), COPY(3, STABLE, A, 0, RUN_RUNNING)},
	 {UP(1, A), UP(2, A), {3, A, SERVER_DRAIN, false, true, 0}},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 2, ALL),
	 .kind = PLAN_WAIT},
	{"then it is drained",
	 {OLD(1, STABLE, A, 0, RUN_RUNNING), OLD(2, STABLE, A, 1, RUN_RUNNING), COPY(3, STABLE, A, 0, RUN_RUNNING)},
	 {UP(1, A), UP(2, A), UP(3, A)},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 2, ALL),
	 .kind = PLAN_DRAIN,
	 .id = 1},
	{"and let in again if the new one falters",
	 {OLD(1, STABLE, A, 0, RUN_RUNNING), OLD(2, STABLE, A, 1, RUN_RUNNING), COPY(3, STABLE, A, 0, RUN_RUNNING)},
	 {{1, A, SERVER_DRAIN, true, true, 0}, UP(2, A), {3, A, SERVER_READY, false, true, 0}},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 2, ALL),
	 .kind = PLAN_ADMIT,
	 .id = 1},
	{"the next one waits until it is gone",
	 {{.id = 1, .image = STABLE, .slot = A, .port = 101, .run = RUN_STOPPING, .outdated = true},
	  OLD(2, STABLE, A, 1, RUN_RUNNING),
	  COPY(3, STABLE, A, 0, RUN_RUNNING)},
	 {UP(2, A), UP(3, A)},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 2, ALL),
	 .kind = PLAN_WAIT},
	{"and is replaced then",
	 {OLD(2, STABLE, A, 1, RUN_RUNNING), COPY(3, STABLE, A, 0, RUN_RUNNING)},
	 {UP(2, A), UP(3, A)},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 2, ALL),
	 .kind = PLAN_CREATE},
	{"a replacement that fails changes nothing",
	 {OLD(1, STABLE, A, 0, RUN_RUNNING), {.id = 3, .image = STABLE, .slot = A, .port = 103, .run = RUN_DEAD, .failed = true}},
	 {UP(1, A)},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_FAILED},
	{"a dead copy takes the new limits at its start, without a pause",
	 {{.id = 1, .image = STABLE, .slot = A, .port = 101, .run = RUN_DEAD, .outdated = true}},
	 .split = SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_START,
	 .id = 1},
	/* Another health path. */
	{"another health path is tried while a copy takes traffic",
	 {{.id = 1, .image = STABLE, .slot = A, .port = 101, .run = RUN_RUNNING, .admitted = true, .other_path = true}},
	 {UP(1, A)},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_ADOPT_PATH},
	{"not before the rest is as it should be",
	 {{.id = 1, .image = STABLE, .slot = A, .port = 101, .run = RUN_RUNNING, .admitted = true, .other_path = true}},
	 {UP(1, A)},
	 SPLIT(A, ALL, 5),
	 .desired = ONE(STABLE, 2, ALL),
	 .kind = PLAN_CREATE},
	{"but first of all if the old one is never answered",
	 {{.id = 1, .image = STABLE, .slot = A, .port = 101, .run = RUN_RUNNING, .other_path = true, .failed = true}},
	 {{1, A, SERVER_DRAIN, false, true, 0}},
	 SPLIT(-1, 0, 4),
	 .desired = ONE(STABLE, 2, ALL),
	 .kind = PLAN_ADOPT_PATH},
	/* The disk. */
	{"files that were changed are written again",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING)},
	 {UP(1, A)},
	 SPLIT(A, ALL, 5),
	 .disk_is_wrong = true,
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_WRITE_DISK},
	/* The preview. */
	{"a slot that is shown on the preview address is not emptied",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, CANDIDATE, B, 0, RUN_RUNNING)},
	 {UP(1, A), UP(2, B)},
	 SPLIT(A, ALL, 5),
	 .shown = 1 + B,
	 .unsettled = true,
	 .desired = ONE(STABLE, 1, ALL),
	 .kind = PLAN_SET_SPLIT},
	{"a failed candidate without traffic is told, not removed",
	 {COPY(1, STABLE, A, 0, RUN_RUNNING), {.id = 2, .image = CANDIDATE, .slot = B, .port = 102, .run = RUN_DEAD, .failed = true}},
	 {UP(1, A)},
	 {B, 0, 5, SLOT_NONE},
	 .desired = TWO(1, ALL, 1, 0),
	 .kind = PLAN_FAILED},
};

static void each_situation_has_its_action(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct plan_case *c = &cases[i];
		struct server_state servers[4];
		struct plan_observed observed = {
			.router_runs = !c->router_down, .mark = "m", .split_settled = !c->unsettled, .instances = c->instances};
		struct plan_action action;
		while (observed.n_instances < 4 && c->instances[observed.n_instances].id)
			observed.n_instances++;
		observed.router = (struct router_state){.answers = !c->silent && !c->router_down,
							.has_split = !c->no_split,
							.split_entries = !c->no_split,
							.split = c->split,
							.servers = servers,
							.old_workers = c->old_workers};
		observed.router.split.preview = c->shown - 1;
		observed.disk_is_wrong = c->disk_is_wrong;
		snprintf(observed.router.mark, sizeof(observed.router.mark), c->old_mark ? "old" : "m");
		for (size_t n = 0; n < 4 && (c->servers[n].up || c->servers[n].checked); n++) {
			const struct case_server *s = &c->servers[n];
			servers[n] = (struct server_state){.id = s->id,
							   .slot = s->slot,
							   .port = (uint16_t)(100 + s->id),
							   .admin = s->admin,
							   .up = s->up,
							   .checked = s->checked,
							   .sessions = s->sessions};
			observed.router.n_servers++;
		}
		process_plan(&observed, &c->desired, &action);
		if (action.kind != c->kind || (c->id && action.id != c->id))
			fail_msg("%s: %s (%u), %s", c->title, plan_kind_name(action.kind), action.id, action.reason);
	}
}

static void the_split_names_the_candidates_slot(void **state)
{
	struct server_state servers[] = {{.id = 1, .slot = A, .port = 101, .up = true, .checked = true},
					 {.id = 2, .slot = B, .port = 102, .up = true, .checked = true}};
	struct instance_view instances[] = {COPY(1, STABLE, A, 0, RUN_RUNNING), COPY(2, CANDIDATE, B, 0, RUN_RUNNING)};
	struct plan_observed observed = {.router_runs = true, .split_settled = true, .instances = instances, .n_instances = 2};
	struct plan_action action;
	static const struct {
		struct plan_desired desired;
		struct split split;
	} splits[] = {
		{TWO(1, ALL, 1, 0), {B, 0, 5, SLOT_NONE}},     {TWO(1, 950000, 1, 50000), {B, 50000, 5, SLOT_NONE}},
		{TWO(1, 0, 1, ALL), {B, ALL, 5, SLOT_NONE}},   {ONE(CANDIDATE, 1, ALL), {B, ALL, 5, SLOT_NONE}},
		{ONE(STABLE, 1, ALL), {A, ALL, 5, SLOT_NONE}}, {TWO(1, 0, 1, 0), {SLOT_NONE, 0, 5, SLOT_NONE}},
	};
	(void)state;
	observed.router = (struct router_state){
		.answers = true, .has_split = true, .split_entries = 1, .split = {A, 500000, 1, SLOT_NONE}, .servers = servers, .n_servers = 2};
	for (size_t i = 0; i < ARRAY_SIZE(splits); i++) {
		process_plan(&observed, &splits[i].desired, &action);
		assert_int_equal(action.kind, PLAN_SET_SPLIT);
		assert_true(split_equal(&action.split, &splits[i].split));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_situation_has_its_action),
		cmocka_unit_test(the_split_names_the_candidates_slot),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
