#include "deployers/haproxy/state.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COLUMNS 160

void router_state_done(struct router_state *state)
{
	free(state->servers);
	*state = (struct router_state){0};
}

const struct server_state *router_state_server(const struct router_state *state, unsigned id)
{
	for (size_t i = 0; i < state->n_servers; i++)
		if (state->servers[i].id == id)
			return &state->servers[i];
	return NULL;
}

unsigned router_state_ready(const struct router_state *state, int slot)
{
	unsigned n = 0;
	for (size_t i = 0; i < state->n_servers; i++) {
		const struct server_state *server = &state->servers[i];
		n += server->slot == slot && server->admin == SERVER_READY && server->up && server->checked;
	}
	return n;
}

/* Columns: srv_op_state (2 running, 0 stopped), srv_admin_state (8: drain, by command), two weights, time since the last change,
 * srv_check_status (15: an HTTP check passed, 8: no connection), srv_check_result (3 passed, 2 failed), srv_check_health (rise + fall - 1:
 * in full), srv_check_state (6: configured, enabled). Backends and servers are found by their names. */
void server_states_text(const char *target, const struct server_state *servers, size_t n, struct buf *out)
{
	buf_adds(out, "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change "
		      "srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn "
		      "srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n");
	for (size_t i = 0; i < n; i++) {
		const struct server_state *server = &servers[i];
		if (!server->id || server->slot == SLOT_NONE || server->admin == SERVER_MAINT || (server->up && !server->checked))
			continue;
		buf_addf(out, "1 %s-%c %zu i%u 127.0.0.1 %d %d 1 1 1 %d %d %d 6 0 0 0 - %u - 0 0 - - 0\n", target, slot_letter(server->slot), i + 1,
			 server->id, server->up ? 2 : 0, server->admin == SERVER_DRAIN ? 8 : 0, server->up ? 15 : 8, server->up ? 3 : 2,
			 server->up ? CHECK_RISE + CHECK_FALL - 1 : 0, server->port);
	}
}

/* Cuts the next line off *rest and returns it, without its end; NULL at the end of the text. */
static char *next_line(char **rest)
{
	char *line = *rest;
	if (!line || !*line)
		return NULL;
	char *end = strchr(line, '\n');
	*rest = end ? end + 1 : line + strlen(line);
	if (end)
		*end = '\0';
	return line;
}

/* Splits a line in place; more columns than `max` are dropped. */
static size_t columns(char *line, char separator, char **ret, size_t max)
{
	size_t n = 0;
	char *at = line;
	while (n < max) {
		ret[n++] = at;
		char *end = strchr(at, separator);
		if (!end)
			break;
		*end = '\0';
		at = end + 1;
	}
	return n;
}

static size_t column_of(char *const *header, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(header[i], name) == 0)
			return i;
	return SIZE_MAX;
}

/* header: wanted names, NULL-terminated; ret: their places. */
static int find_columns(char *const *header, size_t n, const char *const *names, size_t *ret, const char *what, struct error **err)
{
	for (size_t i = 0; names[i]; i++) {
		ret[i] = column_of(header, n, names[i]);
		if (ret[i] == SIZE_MAX)
			return error_set(err, ERROR_PROTOCOL, 0, "haproxy: `%s` has no column \"%s\"; is this HAProxy 2.6 or newer?", what, names[i]);
	}
	return 0;
}

static unsigned to_unsigned(const char *text)
{
	return (unsigned)strtoul(text, NULL, 10);
}

static int slot_of_backend(const char *target, const char *backend)
{
	size_t len = strlen(target);
	if (strncmp(backend, target, len) != 0 || backend[len] != '-' || !backend[len + 1] || backend[len + 2])
		return SLOT_NONE;
	return slot_from_letter(backend[len + 1]);
}

static void parse_info(char *section, struct router_state *state)
{
	for (char *line; (line = next_line(&section));) {
		char *value = strstr(line, ": ");
		if (!value)
			continue;
		*value = '\0';
		value += 2;
		if (strcmp(line, "Pid") == 0) {
			state->pid = strtoul(value, NULL, 10);
		} else if (strcmp(line, "Version") == 0) {
			char *end;
			state->version_major = (unsigned)strtoul(value, &end, 10);
			state->version_minor = *end == '.' ? to_unsigned(end + 1) : 0;
		} else if (strcmp(line, "description") == 0) {
			snprintf(state->mark, sizeof(state->mark), "%s", value);
		}
	}
}

/* "0x55b3502c0770 split b:50000:17" */
static void parse_map(char *section, struct router_state *state)
{
	for (char *line; (line = next_line(&section));) {
		if (strncmp(line, "0x", 2) != 0)
			continue;
		state->split_entries++;
		char *words[3];
		if (columns(line, ' ', words, 3) == 3 && strcmp(words[1], ROUTER_MAP_KEY) == 0 && state->split_entries == 1)
			state->has_split = split_parse(words[2], &state->split);
		else
			state->has_split = false;
	}
}

/* srv_admin_state is a mask (doc/management.txt): maintenance 0x01 0x02 0x04 0x20 0x40, drain 0x08 0x10. */
static enum server_admin admin_of_mask(unsigned mask)
{
	return mask & 0x67 ? SERVER_MAINT : mask & 0x18 ? SERVER_DRAIN : SERVER_READY;
}

static int parse_servers(const char *target, char *section, struct router_state *state, struct error **err)
{
	static const char *const names[] = {"be_name", "srv_name", "srv_op_state", "srv_admin_state", "srv_check_status", "srv_port", NULL};
	size_t at[ARRAY_SIZE(names)], capacity = 0, n_header = 0;
	char *header[MAX_COLUMNS], *cells[MAX_COLUMNS];
	for (char *line; (line = next_line(&section));) {
		if (strncmp(line, "# ", 2) == 0) {
			n_header = columns(line + 2, ' ', header, MAX_COLUMNS);
			if (find_columns(header, n_header, names, at, "show servers state", err) < 0)
				return -1;
			continue;
		}
		if (!n_header || columns(line, ' ', cells, MAX_COLUMNS) < n_header)
			continue;
		int slot = slot_of_backend(target, cells[at[0]]);
		if (slot == SLOT_NONE || state->n_servers == MAX_SERVERS)
			continue;
		state->servers = xgrow(state->servers, &capacity, state->n_servers + 1, sizeof(*state->servers));
		struct server_state *server = &state->servers[state->n_servers++];
		*server = (struct server_state){.slot = slot, .port = (uint16_t)to_unsigned(cells[at[5]])};
		snprintf(server->name, sizeof(server->name), "%s", cells[at[1]]);
		server->id = server->name[0] == 'i' ? to_unsigned(server->name + 1) : 0;
		server->up = to_unsigned(cells[at[2]]) == 2; /* SRV_ST_RUNNING */
		server->admin = admin_of_mask(to_unsigned(cells[at[3]]));
		/* Past HCHK_STATUS_START, a check has ended; and the first that fails takes a server down at once. Not srv_check_result: that is
		 * empty again for as long as the next check runs. */
		server->checked = server->up && to_unsigned(cells[at[4]]) > 2;
	}
	if (!n_header)
		return error_set(err, ERROR_PROTOCOL, 0, "haproxy: `show servers state` has no header line");
	return 0;
}

static int parse_stat(const char *target, char *section, struct router_state *state, struct error **err)
{
	static const char *const names[] = {"pxname", "svname", "qcur", "scur", NULL};
	size_t at[ARRAY_SIZE(names)], n_header = 0;
	char *header[MAX_COLUMNS], *cells[MAX_COLUMNS];
	for (char *line; (line = next_line(&section));) {
		if (strncmp(line, "# ", 2) == 0) {
			n_header = columns(line + 2, ',', header, MAX_COLUMNS);
			if (find_columns(header, n_header, names, at, "show stat", err) < 0)
				return -1;
			continue;
		}
		size_t n = n_header ? columns(line, ',', cells, MAX_COLUMNS) : 0;
		if (n <= at[3] || !n_header)
			continue;
		int slot = slot_of_backend(target, cells[at[0]]);
		for (size_t i = 0; i < state->n_servers; i++)
			if (state->servers[i].slot == slot && strcmp(state->servers[i].name, cells[at[1]]) == 0)
				state->servers[i].sessions = to_unsigned(cells[at[2]]) + to_unsigned(cells[at[3]]);
	}
	return 0;
}

unsigned old_workers_parse(const char *answer)
{
	cleanup_free char *copy = xstrdup(answer);
	char *rest = copy;
	bool old = false;
	unsigned n = 0;
	for (char *line; (line = next_line(&rest));) {
		if (line[0] == '#')
			old = strncmp(line, "# old workers", 13) == 0;
		else
			n += old && line[0] >= '0' && line[0] <= '9';
	}
	return n;
}

int router_state_parse(const char *target, const char *answer, struct router_state *ret, struct error **err)
{
	enum { INFO, MAP, SERVERS, STAT, SECTIONS };
	cleanup_free char *copy = xstrdup(answer);
	char *sections[SECTIONS], *at = copy;
	for (size_t i = 0; i < SECTIONS; i++) {
		if (!*at)
			return error_set(err, ERROR_PROTOCOL, 0, "haproxy: its answer ends after %zu of %d parts", i, (int)SECTIONS);
		sections[i] = at;
		/* An answer ends with an empty line; one that is nothing else is empty (a map without entries). */
		char *end = *at == '\n' ? at : strstr(at, "\n\n");
		if (!end) {
			at += strlen(at);
			continue;
		}
		at = *at == '\n' ? at + 1 : end + 2;
		*end = '\0';
	}
	struct router_state state = {.answers = true};
	parse_info(sections[INFO], &state);
	parse_map(sections[MAP], &state);
	if (parse_servers(target, sections[SERVERS], &state, err) < 0 || parse_stat(target, sections[STAT], &state, err) < 0) {
		router_state_done(&state);
		return -1;
	}
	*ret = state;
	return 0;
}
