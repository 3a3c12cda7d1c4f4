#include "runner/http/http_priv.h"

#include <assert.h>
#include <poll.h>
#include <string.h>

#define CHUNK_MAX (1024 * 1024)

struct http_stream_state {
	struct http_server *server;
	struct MHD_Connection *connection;
	struct http_stream stream;
	struct buf out;
	size_t sent;
	bool over, waiting;
	struct http_stream_state *next;
};

/* MHD does not look at suspended connections: without this a reader that went away would be kept for as long as the stream is silent. */
static bool peer_is_gone(const struct http_stream_state *state)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(state->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct pollfd fd = {.fd = info ? info->connect_fd : -1, .events = state->server->path ? 0 : POLLRDHUP};
	return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLHUP | POLLERR | POLLRDHUP)) != 0;
}

static ssize_t wait_for_wake(struct http_stream_state *state)
{
	state->waiting = true;
	MHD_suspend_connection(state->connection);
	return 0;
}

static ssize_t read_stream(void *arg, uint64_t offset, char *bytes, size_t max)
{
	struct http_stream_state *state = arg;
	(void)offset;
	if (state->server->closing || peer_is_gone(state))
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (state->sent == state->out.len && !state->over) {
		/* What is not committed may not be told. */
		if (db_in_transaction(state->server->core->db)) {
			http_hub_wake_after_commit(state->server->hub);
			return wait_for_wake(state);
		}
		buf_reset(&state->out);
		state->sent = 0;
		int more = state->stream.pull(state->stream.arg, &state->out);
		state->over = more < 0 || state->out.failed;
		if (state->out.len == 0 && !state->over) {
			if (more > 0)
				http_hub_wake_after_commit(state->server->hub);
			return wait_for_wake(state);
		}
	}
	if (state->sent == state->out.len)
		return MHD_CONTENT_READER_END_OF_STREAM;
	size_t n = state->out.len - state->sent < max ? state->out.len - state->sent : max;
	memcpy(bytes, state->out.data + state->sent, n);
	state->sent += n;
	return (ssize_t)n;
}

static void free_stream(void *arg)
{
	struct http_stream_state *state = arg;
	for (struct http_stream_state **at = &state->server->streams; *at; at = &(*at)->next)
		if (*at == state) {
			*at = state->next;
			break;
		}
	http_hub_count_streams(state->server->hub, -1);
	if (state->stream.done)
		state->stream.done(state->stream.arg);
	buf_done(&state->out);
	free(state);
}

int http_reply_stream(struct http_call *call, unsigned status, const char *content_type, const struct http_stream *stream)
{
	assert(!call->response);
	struct http_stream_state *state = xcalloc(1, sizeof(*state));
	state->server = call->server;
	state->connection = call->connection;
	state->stream = *stream;
	buf_init(&state->out, CHUNK_MAX);
	state->next = call->server->streams;
	call->server->streams = state;
	http_hub_count_streams(call->server->hub, 1);
	call->response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 65536, read_stream, state, free_stream);
	call->status = status;
	assert(call->response);
	MHD_add_response_header(call->response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
	MHD_add_response_header(call->response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	return 0;
}

void http_streams_resume(struct http_server *server)
{
	for (struct http_stream_state *state = server->streams; state; state = state->next) {
		if (!state->waiting)
			continue;
		state->waiting = false;
		MHD_resume_connection(state->connection);
		http_hub_work(server->hub);
	}
}
