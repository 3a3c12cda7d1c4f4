#include "deployers/haproxy/config.h"

#include "base/digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char slot_letter(int slot)
{
	return slot == SLOT_A ? 'a' : slot == SLOT_B ? 'b' : '-';
}

int slot_from_letter(char letter)
{
	return letter == 'a' ? SLOT_A : letter == 'b' ? SLOT_B : SLOT_NONE;
}

uint32_t split_weight(const struct split *split, int slot)
{
	if (split->candidate == SLOT_NONE || slot == SLOT_NONE)
		return 0;
	return slot == split->candidate ? split->ppm : PPM - split->ppm;
}

bool split_equal(const struct split *a, const struct split *b)
{
	return a->candidate == b->candidate && a->ppm == b->ppm && a->generation == b->generation && a->preview == b->preview;
}

void split_format(const struct split *split, char ret[SPLIT_TEXT_SIZE])
{
	const char *preview = split->preview == SLOT_A ? ":a" : split->preview == SLOT_B ? ":b" : "";
	snprintf(ret, SPLIT_TEXT_SIZE, "%c:%" PRIu32 ":%" PRIu64 "%s", slot_letter(split->candidate), split->ppm, split->generation, preview);
}

bool split_parse(const char *text, struct split *ret)
{
	struct split split = {.candidate = slot_from_letter(text[0]), .preview = SLOT_NONE};
	if ((split.candidate == SLOT_NONE && text[0] != '-') || text[1] != ':')
		return false;
	char *end;
	if (text[2] < '0' || text[2] > '9')
		return false;
	unsigned long long ppm = strtoull(text + 2, &end, 10);
	if (ppm > PPM)
		return false;
	split.ppm = split.candidate == SLOT_NONE ? 0 : (uint32_t)ppm;
	if (*end == ':' && end[1] >= '0' && end[1] <= '9')
		split.generation = strtoull(end + 1, &end, 10);
	if (*end == ':' && (slot_from_letter(end[1]) != SLOT_NONE || end[1] == '-')) {
		split.preview = slot_from_letter(end[1]);
		end += 2;
	}
	if (*end)
		return false;
	*ret = split;
	return true;
}

bool health_path_is_sound(const char *path)
{
	if (!path || path[0] != '/' || strlen(path) > 200)
		return false;
	for (const char *p = path; *p; p++)
		if (*p <= ' ' || *p > '~' || strchr("\"'\\#%$", *p))
			return false;
	return true;
}

static void global_section(const struct router_settings *s, const char *mark, struct buf *out)
{
	buf_addf(out, "# Written by Penstock for target \"%s\"; changes made by hand are overwritten.\n", s->target);
	buf_adds(out, "global\n");
	buf_addf(out, "    description %s\n", mark);
	buf_addf(out, "    nbthread %u\n", s->threads);
	buf_addf(out, "    maxconn %u\n", s->max_connections);
	/* It must get its listening sockets from us or from the worker before (sockets.h): never a second one beside them. */
	buf_adds(out, "    noreuseport\n    server-state-file " ROUTER_SERVERS_FILE "\n");
	if (s->user)
		buf_addf(out, "    user %s\n", s->user);
	buf_addf(out, "    stats socket unix@%s mode 600 level admin expose-fd listeners\n", ROUTER_RUNTIME_SOCKET);
	buf_addf(out, "    hard-stop-after %" PRIu64 "ms\n", s->drain_ms);
	/* A datagram socket drops lines as soon as its reader pauses; a ring keeps them (docs/targets/process.md). */
	buf_addf(out,
		 "ring penstock\n    format raw\n    maxlen 1024\n    size 8388608\n    timeout connect 1s\n    timeout server 10s\n"
		 "    server log unix@%s log-proto octet-count\n",
		 ROUTER_RELAY_SOCKET);
	/* Without idle-close-on-response a reload closes all idle connections under the clients' hands, and their next requests fail. */
	buf_addf(out,
		 "defaults\n    mode http\n    timeout connect 2s\n    timeout queue 5s\n    timeout http-request 10s\n    timeout http-keep-alive "
		 "60s\n"
		 "    timeout client %" PRIu64 "ms\n    timeout server %" PRIu64 "ms\n    timeout tunnel 1h\n"
		 "    option idle-close-on-response\n    option redispatch 1\n    retries 3\n    balance roundrobin\n"
		 "    load-server-state-from-file global\n",
		 s->request_timeout_ms, s->request_timeout_ms);
}

/* The line of deployers/haproxy/log_line.h. */
#define LOG_FORMAT "%pid %lc %b %s %ST %Tr %Tw %Tc %Ta %ts %[var(txn.slot)] %[var(txn.ppm)] %[var(txn.arm)]"

static void frontend_section(const struct router_settings *s, struct buf *out)
{
	buf_addf(out, "frontend %s\n    bind %s\n", s->target, s->frontend);
	buf_adds(out, "    log ring@penstock local0 info\n    log-format \"" LOG_FORMAT "\"\n    option forwardfor\n");
	buf_adds(out, "    http-request set-var(txn.split) str(" ROUTER_MAP_KEY "),map_str(" ROUTER_MAP_FILE ",-:0:0)\n"
		      "    http-request set-var(txn.slot) var(txn.split),field(1,:)\n"
		      "    http-request set-var(txn.ppm) var(txn.split),field(2,:)\n"
		      "    http-request set-var(txn.arm) str(b) if { var(txn.slot) -m str a }\n"
		      "    http-request set-var(txn.arm) str(a) if { var(txn.slot) -m str b }\n"
		      "    http-request set-var(txn.arm) var(txn.slot) if { rand(1000000),sub(txn.ppm) lt 0 }\n");
	/* Only what was drawn for the candidate falls back: a release that is still being judged never inherits all traffic. */
	for (int slot = 0; slot < SLOTS; slot++) {
		char this = slot_letter(slot), other = slot_letter(1 - slot);
		buf_addf(out, "    use_backend %s-%c if { var(txn.arm) -m str %c } { nbsrv(%s-%c) gt 0 }\n", s->target, this, this, s->target, this);
		buf_addf(out, "    use_backend %s-%c if { var(txn.arm) -m str %c } { var(txn.slot) -m str %c } { nbsrv(%s-%c) gt 0 }\n", s->target,
			 other, this, this, s->target, other);
		buf_addf(out, "    use_backend %s-%c if { var(txn.arm) -m str %c }\n", s->target, this, this);
	}
	buf_addf(out, "    default_backend %s-none\n", s->target);
}

/* No `log`: what is tried here is nobody's live request. */
static void preview_section(const struct router_settings *s, struct buf *out)
{
	if (!s->preview)
		return;
	buf_addf(out, "frontend %s-preview\n    bind %s\n    no log\n    option forwardfor\n", s->target, s->preview);
	buf_adds(out, "    http-request set-var(txn.preview) str(" ROUTER_MAP_KEY "),map_str(" ROUTER_MAP_FILE ",-:0:0),field(4,:)\n");
	for (int slot = 0; slot < SLOTS; slot++)
		buf_addf(out, "    use_backend %s-%c if { var(txn.preview) -m str %c }\n", s->target, slot_letter(slot), slot_letter(slot));
	buf_addf(out,
		 "    default_backend %s-nopreview\nbackend %s-nopreview\n"
		 "    http-request return status 503 content-type text/plain string \"no release of target %s is on preview now\\n\"\n",
		 s->target, s->target, s->target);
}

/* A ring connects again at once, and to a Unix socket without a listener that is a busy loop. So it connects to a listener that is
 * always there and takes few connections a second; from there it goes on to us. */
static void relay_section(const struct router_settings *s, struct buf *out)
{
	buf_addf(out,
		 "listen %s-log\n    mode tcp\n    no log\n    no option idle-close-on-response\n    bind unix@%s mode 600%s%s\n"
		 "    rate-limit sessions 4\n    retries 0\n    timeout client 24h\n    timeout server 24h\n    server log unix@%s\n",
		 s->target, ROUTER_RELAY_SOCKET, s->user ? " user " : "", s->user ? s->user : "", ROUTER_LOG_SOCKET);
}

static void base_text(const struct router_settings *s, const char *const health_paths[SLOTS], const char *mark, const struct router_server *servers,
		      size_t n_servers, struct buf *out)
{
	global_section(s, mark, out);
	frontend_section(s, out);
	preview_section(s, out);
	relay_section(s, out);
	for (int slot = 0; slot < SLOTS; slot++) {
		buf_addf(out, "backend %s-%c\n", s->target, slot_letter(slot));
		if (health_paths[slot])
			buf_addf(out, "    option httpchk GET %s\n", health_paths[slot]);
		for (size_t i = 0; i < n_servers; i++)
			if (servers[i].slot == slot)
				buf_addf(out, "    server i%u 127.0.0.1:%u check inter %d rise %d fall %d\n", servers[i].id, servers[i].port,
					 CHECK_INTERVAL_MS, CHECK_RISE, CHECK_FALL);
	}
	buf_addf(out, "backend %s-none\n    http-request return status 503 content-type text/plain string \"no release is live on target %s\\n\"\n",
		 s->target, s->target);
}

void router_config_mark(const struct router_settings *settings, const char *const health_paths[SLOTS], char ret[CONFIG_MARK_SIZE])
{
	cleanup_buf struct buf text;
	buf_init(&text, 64 * 1024);
	base_text(settings, health_paths, "", NULL, 0, &text);
	buf_adds(&text, settings->program ? settings->program : "");
	char digest[DIGEST_SIZE];
	digest_of_bytes(text.data, text.len, digest);
	snprintf(ret, CONFIG_MARK_SIZE, "penstock-%.16s", strchr(digest, ':') + 1);
}

void router_config_text(const struct router_settings *settings, const char *const health_paths[SLOTS], const struct router_server *servers,
			size_t n_servers, struct buf *out)
{
	char mark[CONFIG_MARK_SIZE];
	router_config_mark(settings, health_paths, mark);
	base_text(settings, health_paths, mark, servers, n_servers, out);
}
