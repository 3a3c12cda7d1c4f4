/* Another health path for copies that run. HAProxy asks all copies in a slot the same question, so the new one is first tried by us on
 * each copy that takes traffic: a path that does not answer must not take them all down at once. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/http_client.h"
#include "base/log.h"
#include "deployers/process/process_priv.h"

#include <stdio.h>
#include <string.h>

enum { PROBE_TIMEOUT_MS = 5000 };

struct path_probe {
	struct process *process;
	struct http_client *client;
	struct loop_timer *end; /* the client must not be freed from its own callback */
	struct error *err;
	char image[DIGEST_SIZE];
	char *path;
	unsigned *ids; /* copies to ask */
	size_t n, at;
};

void path_probe_drop(struct path_probe *probe)
{
	if (!probe)
		return;
	http_client_free(probe->client);
	loop_timer_stop(probe->end);
	error_free(probe->err);
	free(probe->path);
	free(probe->ids);
	free(probe);
}

static int adopt(struct process *process, const char *image, const char *path, struct error **err)
{
	for (size_t i = 0; i < process->instances.n; i++) {
		struct instance *in = process->instances.items[i];
		if (strcmp(in->image, image) != 0 || strcmp(in->health_path, path) == 0)
			continue;
		free(in->health_path);
		in->health_path = xstrdup(path);
		in->wait_from_ms = clock_wall_ms(); /* if it was down, for the other question */
		if (instance_save(in, err) < 0)
			return -1;
	}
	log_write(LOG_INFO, process->subject, "the health checks of image %.19s ask for %s", image, path);
	return 0;
}

static void on_end(void *arg)
{
	struct path_probe *probe = arg;
	struct process *process = probe->process;
	struct error *err = STEAL(probe->err);
	if (!err && adopt(process, probe->image, probe->path, &err) < 0)
		error_context(&err, "health path %s", probe->path);
	process->path_probe = NULL;
	path_probe_drop(probe);
	pass_finished(process, err);
}

static void finish(struct path_probe *probe)
{
	probe->end = loop_timer_start(probe->process->loop, 0, 0, on_end, probe);
}

static void ask_next(struct path_probe *probe);

static void on_answer(void *arg, const struct http_response *response, struct error *err)
{
	struct path_probe *probe = arg;
	unsigned id = probe->ids[probe->at++];
	if (err || response->status < 200 || response->status >= 400) {
		cleanup_free char *what = err ? xstrdup(error_message(err)) : xasprintf("status %ld", response->status);
		error_set(&probe->err, ERROR_UNAVAILABLE, 0, "copy i%u does not answer its new health path %s well (%s): the checks stay as they are",
			  id, probe->path, what);
		finish(probe);
		return;
	}
	ask_next(probe);
}

static void ask_next(struct path_probe *probe)
{
	struct instance *in = NULL;
	while (probe->at < probe->n && !(in = instances_find(&probe->process->instances, probe->ids[probe->at])))
		probe->at++;
	if (!in) {
		finish(probe);
		return;
	}
	cleanup_free char *url = xasprintf("http://127.0.0.1:%u%s", in->port, probe->path);
	struct http_request request = {.url = url, .timeout_ms = PROBE_TIMEOUT_MS, .max_response = 1024 * 1024};
	http_client_send(probe->client, &request, on_answer, probe);
}

void health_path_adopt(struct process *process, const struct plan_observed *observed)
{
	const char *image = process->action.image;
	const struct kept_settings *settings = desired_settings(process, image);
	if (!settings) {
		pass_finished(process, NULL);
		return;
	}
	struct path_probe *probe = xcalloc(1, sizeof(*probe));
	probe->process = process;
	probe->client = http_client_new(process->loop);
	probe->path = xstrdup(settings->health_path);
	probe->ids = xcalloc(observed->n_instances + 1, sizeof(*probe->ids));
	snprintf(probe->image, sizeof(probe->image), "%s", image);
	for (size_t i = 0; i < observed->n_instances; i++)
		if (strcmp(observed->instances[i].image, image) == 0 && plan_takes_traffic(observed, &observed->instances[i]))
			probe->ids[probe->n++] = observed->instances[i].id;
	process->path_probe = probe;
	ask_next(probe);
}
