/* The audit log as a stream of lines, from a place on, and live. */
#include "base/alloc.h"
#include "base/buf.h"
#include "runner/api/api_priv.h"

#include <stdlib.h>
#include <string.h>

enum { LINES_AT_A_TIME = 128, ENOUGH_BYTES = 64 * 1024 };

struct event_stream {
	struct core *core;
	int64_t after, run_id; /* run_id 0: all */
	char *subject;         /* "rollout/3"; NULL: all */
	bool follow;
};

static void add_line(const struct db_stmt *q, struct buf *out)
{
	json_t *data = NULL;
	const char *text = db_text(q, 6);
	if (json_parse(text, strlen(text), &data, NULL) < 0)
		data = json_null();
	cleanup_json json_t *event = json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "id", (json_int_t)db_int(q, 0), "at_ms",
					       (json_int_t)db_int(q, 1), "kind", api_text(db_text(q, 2)), "subject", api_text(db_text(q, 3)), "run",
					       api_number_or_null(q, 4), "actor", api_text(db_text(q, 5)), "data", data);
	cleanup_free char *line = json_text(event);
	buf_adds(out, line);
	buf_addc(out, '\n');
}

static int pull(void *arg, struct buf *out)
{
	struct event_stream *stream = arg;
	/* What is not committed may yet never have happened. */
	if (db_in_transaction(stream->core->db))
		return 0;
	cleanup_stmt struct db_stmt *q = NULL;
	int n = 0, more = 0;
	if (db_query(stream->core->db, &q, NULL,
		     "SELECT id, at_ms, kind, subject, run_id, actor, data FROM event WHERE id > ?1 AND (?2 = 0 OR run_id = ?2)"
		     " AND (?3 IS NULL OR subject = ?3) ORDER BY id LIMIT ?4",
		     "iisi", stream->after, stream->run_id, stream->subject, (int64_t)LINES_AT_A_TIME) < 0)
		return -1;
	while (out->len < ENOUGH_BYTES && (more = db_step(q, NULL)) > 0) {
		add_line(q, out);
		stream->after = db_int(q, 0);
		n++;
	}
	if (more < 0)
		return -1;
	if (n == LINES_AT_A_TIME || more > 0)
		return 1;
	return stream->follow ? 0 : -1;
}

static void stream_free(void *arg)
{
	struct event_stream *stream = arg;
	free(stream->subject);
	free(stream);
}

int api_list_events(struct http_call *call, struct error **err)
{
	struct event_stream asked = {.core = http_core(call), .follow = api_flag(call, "follow")};
	if (api_number(call, "after", 0, INT64_MAX, &asked.after, err) < 0 || api_number(call, "run", 0, INT64_MAX, &asked.run_id, err) < 0)
		return -1;
	if (asked.run_id && api_need_run(asked.core, asked.run_id, err) < 0)
		return -1;
	struct event_stream *stream = xmemdup(&asked, sizeof(asked));
	stream->subject = xstrdup(http_query(call, "subject"));
	return http_reply_stream(call, 200, "application/x-ndjson", &(struct http_stream){pull, stream_free, stream});
}
