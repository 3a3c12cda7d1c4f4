/* HAProxy's files: what a reload, or the next HAProxy, will begin with. They are written before its running process is told anything, and
 * compared at each look, since somebody may have changed or removed them by hand. */
#include "base/alloc.h"
#include "base/file.h"
#include "deployers/process/process_priv.h"

#include <string.h>

/* The copies that were let in and run. */
static size_t servers_of(const struct process *process, const struct plan_observed *observed, const char *paths[SLOTS], struct router_server *servers)
{
	size_t n = 0;
	for (size_t i = 0; i < process->instances.n; i++) {
		const struct instance *in = process->instances.items[i];
		paths[in->slot] = in->health_path;
		if (in->admitted && (observed->instances[i].run == RUN_RUNNING || observed->instances[i].run == RUN_RESTARTING))
			servers[n++] = (struct router_server){in->id, in->slot, in->port};
	}
	return n;
}

int disk_write_config(struct process *process, const struct plan_observed *observed, struct error **err)
{
	const char *paths[SLOTS] = {NULL, NULL};
	struct router_server *servers = xcalloc(process->instances.n + 1, sizeof(*servers));
	size_t n = servers_of(process, observed, paths, servers);
	int status = router_write_config(process->router, paths, servers, n, err);
	free(servers);
	return status;
}

static bool file_says(const struct process *process, const char *name, const char *expected)
{
	cleanup_free char *path = xasprintf("%s/haproxy/%s", process->state_dir, name), *text = NULL;
	cleanup_error struct error *unreadable = NULL;
	return file_read(path, 1024 * 1024, &text, NULL, &unreadable) == 0 && strcmp(text, expected) == 0;
}

bool disk_is_wrong(const struct process *process, const struct plan_observed *observed)
{
	const struct router_state *router = &observed->router;
	const char *paths[SLOTS] = {NULL, NULL};
	if (!router->answers || strcmp(router->mark, observed->mark) != 0)
		return false; /* it is written when HAProxy is started or reloaded */
	if (router->has_split) {
		char value[SPLIT_TEXT_SIZE];
		split_format(&router->split, value);
		cleanup_free char *map = xasprintf(ROUTER_MAP_KEY " %s\n", value);
		if (!file_says(process, ROUTER_MAP_FILE, map))
			return true;
	}
	cleanup_buf struct buf text;
	buf_init(&text, 1024 * 1024);
	struct router_server *servers = xcalloc(process->instances.n + 1, sizeof(*servers));
	size_t n = servers_of(process, observed, paths, servers);
	router_config_text(router_settings_of(process->router), paths, servers, n, &text);
	free(servers);
	return !text.failed && !file_says(process, ROUTER_CONFIG_FILE, text.data);
}
