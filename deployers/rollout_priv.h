/* The rollout machine's inside: one turn of it, shared by rollout*.c and strategy_*.c. */
#ifndef DEPLOYERS_ROLLOUT_PRIV_H
#define DEPLOYERS_ROLLOUT_PRIV_H

#include "deployers/rollout.h"

#define ALL_PPM 1000000u

/* Of an arm_status: what the machine goes by. */
struct seen_arm {
	unsigned ready;
	uint32_t weight_ppm;
	bool failed;
	const char *message;
};

/* One call of rollout_next(). */
struct turn {
	const struct rollout *now;        /* what was remembered; `now` also holds what was last desired */
	const struct rollout_input *in;
	struct rollout_output *out;
	struct rollout *next;             /* &out->next */
	bool known;                       /* the target answered and its router is well */
	bool applied;                     /* ... and shows the weights that were last desired */
	bool settled;                     /* ... and has nothing left to do for the last desired state */
	bool twice;                       /* ... and so did the look before: one look may lie, copies are not given up on one */
	struct seen_arm stable, candidate; /* nothing ready when absent or not known */
	unsigned stable_replicas;         /* what the stable arm should have */
	bool same_image;                  /* the candidate is what is live already */
};

/* What a strategy decides; everything else is the same for all of them. */
struct strategy_ops {
	const char *name;
	const char *doc;
	void (*ready)(struct turn *turn); /* the copies it begins with are ready: where to begin */
	void (*step)(struct turn *turn);  /* STEPPING, VERIFYING, nothing is wrong: stay, go on or go back */
	/* STEPPING, VERIFYING, AWAITING: on to what follows, whatever the evidence says. */
	void (*leave)(struct turn *turn, const char *decided_by, const char *why);
};
extern const struct strategy_ops strategy_canary, strategy_blue_green, strategy_immediate;
const struct strategy_ops *strategy_find(enum strategy strategy);

/* rollout_states.c: what happens by itself in each state. */
void state_act(struct turn *turn);
/* Harm that needs no command: the candidate's health, a verdict of WORSE. True if it went back. */
bool state_harm(struct turn *turn);

/* A driver tells `failed` when a copy is not ready within health_within of its start; before that comes unpacking. This is for targets that
 * tell nothing: how long copies that are being started may take. */
int64_t coming_up_ms(const struct rollout_spec *spec);

/* rollout_commands.c: does what was asked for; why not, or NULL. */
const char *obey(struct turn *turn);
/* Given in an emergency: comes before harm. */
bool is_emergency(enum rollout_command command);

/* Goes to a state; its clock starts. */
void enter(struct turn *turn, enum rollout_state state, const char *decided_by, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Takes the candidate back from wherever it is. */
void go_back(struct turn *turn, const char *decided_by, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* To AWAITING: the step's own clock and evidence go on. */
void await_person(struct turn *turn, const char *decided_by, const char *why);
void wait_for(struct turn *turn, bool held, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void wake_at(struct turn *turn, int64_t at_ms);

/* The state that counts: where a paused rollout came from, else its state. */
enum rollout_state state_beneath(const struct rollout *rollout);
/* Since the state or step began, without the time it was paused; never negative. */
int64_t elapsed_ms(const struct turn *turn);
bool has_deciding_metrics(const struct rollout_spec *spec);
/* The candidate's share that the state asks for, if nothing forbids it. */
uint32_t wanted_ppm(const struct turn *turn);
/* How many copies of the candidate the state asks for, and how many must be ready before its weight may be raised. */
unsigned wanted_copies(const struct turn *turn);
unsigned needed_copies(const struct turn *turn);
/* "its copy is ready", "all 2 copies are ready" */
#define COPIES_SIZE 40
const char *copies_are_ready(const struct rollout_spec *spec, char space[COPIES_SIZE]);
/* ... needed in the step before: what it had and may not lose. */
unsigned copies_before(const struct turn *turn);
/* Cut between characters, and whatever is not UTF-8 replaced: it is to be stored as JSON. ret may be text. */
void copy_text(char *ret, size_t size, const char *text);

/* rollout_weights.c: sets next->stable and next->candidate. */
void place_arms(struct turn *turn);
/* The stable arm can carry all traffic (again). */
bool stable_is_fit(const struct turn *turn);
#endif
