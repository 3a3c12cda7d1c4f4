/* The logs of a run's stages as one text: all that there is in the order of the plan, then, if asked, what comes, as it comes. */
#include "base/alloc.h"
#include "base/buf.h"
#include "runner/api/api_priv.h"

#include <fcntl.h>
#include <string.h>

enum { CHUNK = 16 * 1024, ENOUGH_BYTES = 48 * 1024 };

/* How far one attempt's log was told. */
struct tail {
	int64_t attempt_id;
	off_t offset;
	struct tail *next;
};

struct log_stream {
	struct core *core;
	int64_t run_id;
	char *stage; /* NULL: all, each line prefixed */
	bool follow;
	struct tail *tails;
};

static struct tail *tail_of(struct log_stream *stream, int64_t attempt_id)
{
	struct tail *tail = stream->tails;
	while (tail && tail->attempt_id != attempt_id)
		tail = tail->next;
	if (!tail) {
		tail = xcalloc(1, sizeof(*tail));
		*tail = (struct tail){.attempt_id = attempt_id, .next = stream->tails};
		stream->tails = tail;
	}
	return tail;
}

static void add_line(const struct log_stream *stream, const char *stage, const char *line, size_t len, struct buf *out)
{
	if (!stream->stage)
		buf_addf(out, "%s | ", stage);
	buf_add(out, line, len);
	buf_addc(out, '\n');
}

/* Whole lines of a chunk; the rest only if nothing can be added to it any more. Returns how many bytes were told. */
static size_t add_lines(const struct log_stream *stream, const char *stage, const char *chunk, size_t len, bool final, struct buf *out)
{
	size_t told = 0;
	/* Prefixes make many short lines much longer than the chunk was. */
	for (const char *end; told < len && out->len < ENOUGH_BYTES && (end = memchr(chunk + told, '\n', len - told)) != NULL;
	     told = (size_t)(end - chunk) + 1)
		add_line(stream, stage, chunk + told, (size_t)(end - chunk) - told, out);
	if (told < len && out->len < ENOUGH_BYTES && (final || (told == 0 && len == CHUNK))) {
		add_line(stream, stage, chunk + told, len - told, out);
		told = len;
	}
	return told;
}

/* One row: attempt, folder, stage, number, finished. Returns 1 if it has more to tell at once. */
static int add_attempt(struct log_stream *stream, const struct db_stmt *q, struct buf *out)
{
	cleanup_free char *dir = core_path(stream->core, db_text(q, 1)), *path = xasprintf("%s/log", dir);
	const char *stage = db_text(q, 2);
	struct tail *tail = tail_of(stream, db_int(q, 0));
	bool over = db_int(q, 4) != 0;
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	cleanup_free char *chunk = fd >= 0 ? xmalloc(CHUNK) : NULL;
	while (fd >= 0) {
		ssize_t len = pread(fd, chunk, CHUNK, tail->offset);
		if (len <= 0)
			return 0;
		if (out->len >= ENOUGH_BYTES)
			return 1;
		if (tail->offset == 0 && db_int(q, 3) > 1) {
			cleanup_free char *again = xasprintf("--- attempt %lld", (long long)db_int(q, 3));
			add_line(stream, stage, again, strlen(again), out);
		}
		size_t told = add_lines(stream, stage, chunk, (size_t)len, over && len < CHUNK, out);
		tail->offset += (off_t)told;
		if (told == 0)
			return 0; /* half a line: the rest will come */
	}
	return 0;
}

/* 1: nothing can come any more; asked before the logs are read, so that nothing is missed in between. */
static int is_over(const struct log_stream *stream)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(stream->core->db, &q, NULL,
		     "SELECT state = 'finished' OR (?2 IS NOT NULL AND EXISTS (SELECT 1 FROM stage WHERE run_id = run.id AND name = ?2 AND"
		     " stage.state = 'finished')) FROM run WHERE id = ?1",
		     "is", stream->run_id, stream->stage) < 0)
		return -1;
	int more = db_step(q, NULL);
	return more < 0 ? -1 : more == 0 ? 1 : (int)db_int(q, 0);
}

static int pull(void *arg, struct buf *out)
{
	struct log_stream *stream = arg;
	int over = is_over(stream), more;
	cleanup_stmt struct db_stmt *q = NULL;
	if (over < 0 || db_query(stream->core->db, &q, NULL,
				 "SELECT attempt.id, attempt.dir, stage.name, attempt.number, attempt.state = 'finished' FROM attempt"
				 " JOIN stage ON stage.id = attempt.stage_id WHERE stage.run_id = ?1 AND (?2 IS NULL OR stage.name = ?2)"
				 " ORDER BY stage.idx, attempt.number",
				 "is", stream->run_id, stream->stage) < 0)
		return -1;
	while ((more = db_step(q, NULL)) > 0)
		if (add_attempt(stream, q, out) > 0)
			return 1;
	return more < 0 || over || !stream->follow ? -1 : 0;
}

static void stream_free(void *arg)
{
	struct log_stream *stream = arg;
	while (stream->tails) {
		struct tail *tail = stream->tails;
		stream->tails = tail->next;
		free(tail);
	}
	free(stream->stage);
	free(stream);
}

/* A run that is not planned yet may get any stage. */
static int check_stage(struct core *core, int64_t run_id, const char *stage, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_buf struct buf names;
	size_t n = 0;
	int more;
	buf_init(&names, 64 * 1024);
	if (db_query(core->db, &q, err, "SELECT name FROM stage WHERE run_id = ? ORDER BY idx", "i", run_id) < 0)
		return -1;
	while ((more = db_step(q, err)) > 0) {
		if (strcmp(db_text(q, 0), stage) == 0)
			return 0;
		buf_addf(&names, "%s%s", n++ ? ", " : "", db_text(q, 0));
	}
	if (more < 0 || n == 0)
		return more;
	return error_set(err, ERROR_NOT_FOUND, 0, "run %lld has no stage \"%.100s\"; it has: %s", (long long)run_id, stage, names.data);
}

int api_get_log(struct http_call *call, struct error **err)
{
	struct core *core = http_core(call);
	const char *stage = http_query(call, "stage");
	int64_t id;
	if (api_id(call, "run", &id, err) < 0 || api_need_run(core, id, err) < 0 || (stage && check_stage(core, id, stage, err) < 0))
		return -1;
	struct log_stream *stream = xcalloc(1, sizeof(*stream));
	*stream = (struct log_stream){.core = core, .run_id = id, .stage = xstrdup(stage), .follow = api_flag(call, "follow")};
	return http_reply_stream(call, 200, "text/plain; charset=utf-8", &(struct http_stream){pull, stream_free, stream});
}
