/* Inside the router only: its object, and what router.c (observing, files, commands) and router_start.c (starting, reloading, listening
 * sockets) call of each other. */
#ifndef DEPLOYERS_HAPROXY_ROUTER_PRIV_H
#define DEPLOYERS_HAPROXY_ROUTER_PRIV_H

#include "deployers/haproxy/router.h"
#include "deployers/haproxy/runtime.h"
#include "deployers/haproxy/sockets.h"

enum { ROUTER_MAGIC = 0x70a57e01 };
enum job_kind { JOB_NONE, JOB_START, JOB_RELOAD, JOB_COMMAND, JOB_SPLIT };

/* Outlives the router if it is closed while the child still runs. */
struct check {
	struct router *router;
	struct child *child;
};

struct router {
	unsigned magic;
	struct loop *loop;
	char *dir, *program;
	int dir_fd;
	struct router_settings settings;
	char *target, *frontend, *preview, *user, *subject;
	struct router_callbacks callbacks;
	struct runtime_client *runtime, *master;
	struct log_ring *log;
	char *attempt_dir; /* of the HAProxy that is ours now, or NULL */
	struct attempt_watch *watch;
	bool has_old; /* one before it may still be finishing its requests, after a change of program */
	struct observation *observations;

	/* Which file HAProxy is. */
	char *identity;     /* the one to run; settings.program is this */
	char *ran_path;     /* the one that the running HAProxy was started as, or NULL: not known */
	char *ran_identity; /* and what it was when it was last loaded */
	char *refused;      /* identity of one that refused the configuration: not tried again until it changes */

	/* Listening sockets (sockets.h). */
	struct held_sockets held;
	unsigned long held_from; /* the worker that `held` was got from */
	bool created;            /* some of `held` are new: no HAProxy has had them yet */
	struct socket_fetch *fetch;
	bool takes_over; /* another program is started as soon as they are here */
	unsigned long fetch_from;
	struct socket_offer *offer;
	struct loop_timer *let_go_timer;
	char *servers_text; /* of the state file as last written */

	/* The one write in flight. */
	enum job_kind job;
	router_done_fn done;
	void *arg;
	char mark[CONFIG_MARK_SIZE];
	char loaded_mark[CONFIG_MARK_SIZE]; /* of a configuration that has been seen running */
	struct split split;
	struct check *check;
	struct loop_timer *settle_timer;
	uint64_t settle_until;
	unsigned long pid_before;
	char *starting_path; /* the program of the job in flight */
	char *before_dir;    /* start of another program: the attempt to go back to */
};
struct router *router_of(void *arg);
char *router_socket(const struct router *router, const char *name); /* short path, allocated */

/* router.c */
void router_begin(struct router *router, enum job_kind job, router_done_fn done, void *arg);
void router_finish(struct router *router, struct error *err); /* takes err */
void router_watch(struct router *router);
bool router_attempt_runs(const char *attempt_dir);
unsigned router_latest_start(const char *dir);

/* router_start.c */
void router_note_program(struct router *router);
void router_note_running(struct router *router); /* reads what it was started as */
/* A running HAProxy has answered: keeps duplicates of its listening sockets, and the states of its servers on disk. */
void router_note_state(struct router *router, const struct router_state *state);
void router_note_exit(struct router *router);
void router_start_done(struct router *router); /* frees what belongs to starting */
#endif
