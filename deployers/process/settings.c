#include "deployers/process/settings.h"

#include "base/alloc.h"
#include "deployers/haproxy/frontend.h"

#include <stdlib.h>
#include <string.h>

static bool parse_port_range(const char *text, uint16_t *ret_first, uint16_t *ret_last)
{
	char *end;
	if (!text || text[0] < '1' || text[0] > '9')
		return false;
	unsigned long first = strtoul(text, &end, 10), last = first;
	if (*end == '-' && end[1] >= '1' && end[1] <= '9')
		last = strtoul(end + 1, &end, 10);
	if (*end || first > last || last > 65535)
		return false;
	*ret_first = (uint16_t)first;
	*ret_last = (uint16_t)last;
	return true;
}

static void check_frontend(const struct yaml_node *node, struct diag_list *diags)
{
	struct sockaddr_storage address;
	socklen_t len;
	if (!frontend_parse(yaml_text(node, ""), &address, &len))
		yaml_error(diags, node, "bad-address", "write an address and a port, like \"127.0.0.1:9000\" or \"*:80\"",
			   "\"%s\" is no address to listen on", yaml_text(node, ""));
}

static void check_ports(const struct yaml_node *node, struct diag_list *diags)
{
	uint16_t first, last;
	if (!parse_port_range(yaml_text(node, ""), &first, &last))
		yaml_error(diags, node, "bad-ports", "write a range like 20000-20100", "\"%s\" is no range of ports", yaml_text(node, ""));
	else if (last - first < 1)
		yaml_error(diags, node, "bad-ports", "give it twice as many ports as a release has replicas",
			   "a rollout needs ports for the old and the new release at once; \"%s\" has one", yaml_text(node, ""));
}

static const struct schema frontend_schema = {SCHEMA_STRING, .check = check_frontend};
static const struct schema preview_schema = {SCHEMA_STRING, .check = check_frontend};
static const struct schema ports_schema = {SCHEMA_STRING, .check = check_ports};
static const struct schema threads_schema = {SCHEMA_INTEGER, .has_min = true, .min = 1, .has_max = true, .max = 64};
static const struct schema connections_schema = {SCHEMA_INTEGER, .has_min = true, .min = 10, .has_max = true, .max = 1000000};

static const struct schema_field fields[] = {
	{"frontend", &frontend_schema, .required = true, .doc = "address and port where clients reach the target"},
	{"preview", &preview_schema, .doc = "address and port where a release is shown before it is live", .fallback = "none"},
	{"ports", &ports_schema, .required = true, .doc = "loopback ports for the copies, first-last; one each, for two releases at once"},
	{"max_connections", &connections_schema, .doc = "connections that the frontend holds at once", .fallback = "4000"},
	{"timeout", &schema_duration, .doc = "a request that takes longer is an error of its copy", .fallback = "60s"},
	{"drain", &schema_duration, .doc = "how long a copy without traffic may finish its last requests before they are cut off", .fallback = "30s"},
	{"grace", &schema_duration, .doc = "from TERM to KILL when a copy is stopped", .fallback = "10s"},
	{"memory", &schema_size, .doc = "limit for each copy", .fallback = "none"},
	{"threads", &threads_schema, .doc = "of HAProxy", .fallback = "1"},
	{"haproxy", &schema_string, .doc = "path of the program", .fallback = "`haproxy` in PATH"},
	{.name = NULL},
};
const struct schema process_schema = {SCHEMA_STRUCT, .doc = "copies as local processes in a sandbox, behind a HAProxy that Penstock runs",
				      .fields = fields};

int process_settings_read(const struct yaml_node *body, struct process_settings *ret, struct error **err)
{
	struct process_settings s = {.max_connections = 4000, .threads = 1, .request_timeout_ms = 60000, .drain_ms = 30000, .grace_ms = 10000};
	const char *frontend = yaml_text(yaml_get(body, "frontend"), NULL);
	if (!frontend || !parse_port_range(yaml_text(yaml_get(body, "ports"), NULL), &s.port_first, &s.port_last))
		return error_set(err, ERROR_INVALID, 0, "a process target needs `frontend` (address:port) and `ports` (first-last)");
	const char *preview = yaml_text(yaml_get(body, "preview"), NULL);
	if (preview && strcmp(preview, frontend) == 0)
		return error_set(err, ERROR_INVALID, 0, "`preview` and `frontend` are both %s: give the preview an address of its own", preview);
	int64_t number;
	if (yaml_int(yaml_get(body, "max_connections"), &number))
		s.max_connections = (unsigned)number;
	if (yaml_int(yaml_get(body, "threads"), &number))
		s.threads = (unsigned)number;
	yaml_duration_ms(yaml_get(body, "timeout"), &s.request_timeout_ms);
	yaml_duration_ms(yaml_get(body, "drain"), &s.drain_ms);
	yaml_duration_ms(yaml_get(body, "grace"), &s.grace_ms);
	yaml_size_bytes(yaml_get(body, "memory"), &s.memory_bytes);
	s.frontend = xstrdup(frontend);
	s.preview = xstrdup(preview);
	s.haproxy = xstrdup(yaml_text(yaml_get(body, "haproxy"), NULL));
	*ret = s;
	return 0;
}

void process_settings_done(struct process_settings *settings)
{
	free(settings->frontend);
	free(settings->preview);
	free(settings->haproxy);
	*settings = (struct process_settings){0};
}
