#include "deployers/haproxy/log_line.h"

#include <string.h>

struct cursor {
	const char *at, *end;
};

/* The next word, up to a blank or the end. */
static bool word(struct cursor *c, const char **ret, size_t *ret_len)
{
	if (c->at >= c->end)
		return false;
	const char *blank = memchr(c->at, ' ', (size_t)(c->end - c->at));
	const char *stop = blank ? blank : c->end;
	*ret = c->at;
	*ret_len = (size_t)(stop - c->at);
	c->at = blank ? blank + 1 : c->end;
	return *ret_len > 0;
}

/* "-" reads as -1; a leading "+" (HAProxy's `option logasap`) does not occur. */
static bool number(struct cursor *c, int64_t *ret)
{
	const char *text;
	size_t len;
	if (!word(c, &text, &len) || len > 18)
		return false;
	bool negative = text[0] == '-';
	int64_t value = 0;
	for (size_t i = negative; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (text[i] - '0');
	}
	*ret = negative ? len == 1 ? -1 : -value : value;
	return true;
}

static bool slot_word(struct cursor *c, int *ret)
{
	const char *text;
	size_t len;
	if (!word(c, &text, &len))
		return false;
	*ret = len == 1 ? slot_from_letter(text[0]) : SLOT_NONE;
	return true;
}

static int slot_of_backend(const char *target, const char *backend, size_t len)
{
	size_t prefix = strlen(target);
	if (len != prefix + 2 || memcmp(backend, target, prefix) != 0 || backend[prefix] != '-')
		return SLOT_NONE;
	return slot_from_letter(backend[prefix + 1]);
}

static unsigned id_of_server(const char *name, size_t len)
{
	unsigned id = 0;
	if (len < 2 || len > 10 || name[0] != 'i')
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return 0;
		id = id * 10 + (unsigned)(name[i] - '0');
	}
	return id;
}

bool log_line_parse(const char *target, const char *line, size_t len, struct log_line *ret)
{
	while (len && (line[len - 1] == '\n' || line[len - 1] == '\0'))
		len--;
	struct cursor c = {line, line + len};
	const char *backend, *server, *state;
	size_t backend_len, server_len, state_len;
	int64_t pid, sequence, status, ppm;
	struct log_line parsed;
	if (!number(&c, &pid) || pid < 0 || !number(&c, &sequence) || sequence < 0 || !word(&c, &backend, &backend_len) ||
	    !word(&c, &server, &server_len) || !number(&c, &status) || !number(&c, &parsed.response_ms) || !number(&c, &parsed.queue_ms) ||
	    !number(&c, &parsed.connect_ms) || !number(&c, &parsed.active_ms) || !word(&c, &state, &state_len) || state_len != 2 ||
	    !slot_word(&c, &parsed.candidate) || !number(&c, &ppm) || !slot_word(&c, &parsed.arm) || c.at != c.end)
		return false;
	if (status > 999 || ppm > (int64_t)PPM)
		return false;
	parsed.pid = (unsigned long)pid;
	parsed.sequence = (uint64_t)sequence;
	parsed.backend = slot_of_backend(target, backend, backend_len);
	parsed.has_server = server[0] != '<';
	parsed.server = id_of_server(server, server_len);
	parsed.status = (int)status;
	parsed.ppm = ppm < 0 ? 0 : (uint32_t)ppm;
	parsed.cause = state[0];
	parsed.phase = state[1];
	*ret = parsed;
	return true;
}

/* From the whole request having come in until the answer's headers; the client's own slowness is not the model's. */
static uint64_t latency_us(const struct log_line *line)
{
	if (line->response_ms >= 0 && line->queue_ms >= 0 && line->connect_ms >= 0)
		return (uint64_t)(line->response_ms + line->queue_ms + line->connect_ms) * 1000;
	return line->active_ms > 0 ? (uint64_t)line->active_ms * 1000 : 0;
}

enum ending { ENDED_WELL, ENDED_BADLY, ENDED_BY_OTHERS };

static enum ending ending_of(const struct log_line *line)
{
	bool answer_began = line->phase == 'D' || line->phase == 'L';
	switch (line->cause) {
	case 'S': /* the server refused, or broke off */
	case 's': /* the server took too long */
		return ENDED_BADLY;
	case 'c': /* the client's time-out: it waited for us, unless it was still sending its request or reading the answer */
		return line->phase == 'R' ? ENDED_BY_OTHERS : answer_began ? ENDED_WELL : ENDED_BADLY;
	case 'C': /* the client went away */
		return answer_began ? ENDED_WELL : ENDED_BY_OTHERS;
	case 'P': /* refused by the proxy: an answer that is no HTTP is the server's doing, a request that is none is not */
		return line->phase == 'H' ? ENDED_BADLY : ENDED_BY_OTHERS;
	case 'R':
	case 'I':
		return ENDED_BY_OTHERS;
	default:
		return ENDED_WELL;
	}
}

void log_line_effect(const struct log_line *line, struct log_effect *ret)
{
	*ret = (struct log_effect){.assigned = line->arm, .counted = SLOT_NONE};
	if (line->arm == SLOT_NONE)
		return;
	enum ending ending = ending_of(line);
	if (ending == ENDED_BY_OTHERS)
		return;
	/* Without a server nobody served it: that is on the arm it was meant for. */
	ret->counted = line->has_server && line->backend != SLOT_NONE ? line->backend : line->arm;
	ret->fell_back = ret->counted != line->arm;
	ret->error = ending == ENDED_BADLY || line->status >= 500 || line->status <= 0;
	ret->latency_us = latency_us(line);
}

bool log_sequence_follows(struct log_sequence *s, unsigned long pid, uint64_t number)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->processes[i].pid != pid)
			continue;
		uint64_t next = s->processes[i].next;
		uint64_t distance = number > next ? number - next : next - number;
		s->processes[i].next = distance > s->tolerance ? number + 1 : next + 1;
		return distance <= s->tolerance;
	}
	size_t keep = s->n < LOG_PROCESSES ? s->n : LOG_PROCESSES - 1;
	memmove(&s->processes[1], &s->processes[0], keep * sizeof(s->processes[0]));
	s->processes[0].pid = pid;
	s->processes[0].next = number + 1;
	s->n = keep + 1;
	return number <= s->tolerance;
}
