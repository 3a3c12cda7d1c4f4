/* For those who implement a kind of metric source: the part of a watch that is the same for all, and requests that must all be answered.
 *
 *     struct my_watch { struct watch_core core; struct fetches *fetches; ... };
 *     watch_begin(&watch->core, span, done, arg);           // in ops->read
 *     ... ask; fill core.arms[0] and [1] with what came ...
 *     watch_finish(&watch->core, NULL);                     // or an error: done() is called from the loop, once
 *     watch_done(&watch->core);                             // in ops->unwatch: done() is not called any more */
#ifndef GATES_SOURCES_SOURCE_DRIVER_H
#define GATES_SOURCES_SOURCE_DRIVER_H

#include "base/alloc.h"
#include "base/http_client.h"
#include "gates/sources/reading.h"
#include "gates/sources/source.h"

#define SOURCE_TIMEOUT_MS 5000

struct watch_core {
	struct source_watch base;
	struct loop *loop;
	const char *source; /* the operator's name for it, borrowed */
	const struct analysis_metric *metric;
	struct metric_memory memory;
	struct source_span span; /* of the reading in flight */
	struct arena *arena;
	struct arm_samples arms[2]; /* stable, candidate */
	source_done_fn done;
	void *arg;
	struct error *failed;
	bool not_due; /* nothing was asked: the reading says nothing_yet */
	struct loop_timer *later;
};
void watch_init(struct watch_core *core, const struct source_ops *ops, struct loop *loop, const char *source, const struct analysis_metric *metric);
void watch_done(struct watch_core *core); /* frees what is in it, not itself */
void watch_begin(struct watch_core *core, const struct source_span *span, source_done_fn done, void *arg);
/* Takes the error over. Without one the reading is made of core->arms. Errors get "metric source "app": accuracy: " in front. */
void watch_finish(struct watch_core *core, struct error *err);
/* For sources whose texts use these template names (as bits): true if one of them stands for copies and an arm has none. The arm is told as
 * missing, and the reading will say no_data. */
bool watch_lacks_copies(struct watch_core *core, unsigned names, const struct source_arm arms[2]);
/* A copy that outlives the call of ops->read, in the arena. */
void source_arm_copy(const struct source_arm *arm, struct arena *arena, struct source_arm *ret);

/* ---- requests ---- */
struct fetched {
	const char *url;
	long status;
	const char *body, *content_type; /* content_type may be NULL */
	size_t body_len;
	struct error *err; /* no answer: set instead of the rest; borrowed */
};
struct fetches;
typedef void (*fetches_done_fn)(void *arg, const struct fetched *results, size_t n);
struct fetches_spec {
	const char *const *urls;
	const char *const *forms;   /* POST bodies, application/x-www-form-urlencoded, one for each url; NULL: GETs */
	size_t n;                   /* more than 0 */
	const char *const *headers; /* NULL-terminated */
	uint64_t timeout_ms;
	size_t max_bytes;
};
/* Sends all of them at once; `done` is called once, from the loop, when all have ended. */
struct fetches *fetches_start(struct loop *loop, const struct fetches_spec *spec, fetches_done_fn done, void *arg);
void fetches_drop(struct fetches *fetches); /* without calling back; NULL is fine */
/* 0 if it is a 200; else the error, naming the address. */
int fetched_expect_ok(const struct fetched *result, struct error **err) must_check;

/* Headers for a request: "Accept: ..." and, if bearer_file is not NULL, "Authorization: Bearer ..." with the file's contents, read now, because
 * such tokens change. Appended to `ret`. */
int source_headers(const char *accept, const char *bearer_file, struct strlist *ret, struct error **err) must_check;
/* "http://host:port/prefix" with no user, query or fragment: what is wrong, or NULL. Static. */
const char *source_url_problem(const char *url, bool query_allowed);
#endif
