#include "runner/serve.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "deployers/haproxy/program.h"
#include "runner/api/api.h"
#include "runner/engine.h"
#include "runner/metrics.h"
#include "runner/rollouts.h"
#include "runner/webhooks/webhooks.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Configurations that were replaced: rooms may still hold pieces of them. */
struct old_config {
	struct config *config;
	struct old_config *next;
};

static const int signal_numbers[] = {SIGTERM, SIGINT, SIGHUP};

struct house {
	const char *file;
	struct config *config;
	struct old_config *old;
	struct core *core;
	struct http_server *inside, *outside; /* commands; webhooks */
	uv_signal_t signals[ARRAY_SIZE(signal_numbers)];
	bool watching;
};

/* ---- reload ---- */

static bool same_targets(const struct config *a, const struct config *b)
{
	if (a->n_targets != b->n_targets)
		return false;
	for (size_t i = 0; i < a->n_targets; i++) {
		const struct config_target *one = &a->targets[i], *other = config_target(b, one->name);
		if (!other || strcmp(one->kind, other->kind) != 0)
			return false;
		cleanup_json json_t *x = yaml_to_json(one->body), *y = yaml_to_json(other->body);
		if (!json_equal(x, y))
			return false;
	}
	return true;
}

/* What is open already cannot be moved: rather than half a change, none. */
static const char *needs_restart(const struct config *a, const struct config *b)
{
	if (strcmp(a->state, b->state) != 0)
		return "state";
	if (strcmp(a->listen, b->listen) != 0)
		return "listen";
	if (strcmp(a->socket, b->socket) != 0)
		return "socket";
	if (strcmp(a->key_file, b->key_file) != 0)
		return "key_file";
	return same_targets(a, b) ? NULL : "targets";
}

static int adopt(struct house *house, struct config *config, struct error **err)
{
	const char *key = needs_restart(house->config, config);
	if (key)
		return error_set(err, ERROR_CONFLICT, 0, "`%s` was changed, which only a restart can bring about; nothing of it is in force", key);
	core_event_begin(house->core);
	int noted = event_append(house->core, "config.reloaded", "config", 0, NULL, NULL, err);
	core_event_end(house->core, noted == 0);
	if (noted < 0)
		return -1;
	struct old_config *old = xcalloc(1, sizeof(*old));
	old->config = house->config;
	old->next = house->old;
	house->old = old;
	house->config = house->core->config = config;
	return 0;
}

/* The excerpts under a mistake are lines of their own. */
static void log_lines(const char *subject, const char *text)
{
	for (size_t len; *text; text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		log_write(LOG_ERROR, subject, "%.*s", (int)len, text);
	}
}

static void reload(struct house *house)
{
	cleanup_error struct error *err = NULL;
	struct config *config = NULL;
	if (config_read(house->file, &config, &err) < 0 || adopt(house, config, &err) < 0) {
		log_write(LOG_ERROR, "config", "not reloaded, the old one stays in force:");
		log_lines("config", error_message(err));
		config_free(config);
		return;
	}
	log_write(LOG_INFO, "config", "%s was read again", house->file);
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *handle, int number)
{
	struct house *house = handle->data;
	if (number == SIGHUP) {
		reload(house);
		return;
	}
	log_write(LOG_INFO, "serve", "ending on %s; what runs goes on", number == SIGTERM ? "SIGTERM" : "SIGINT");
	loop_stop(house->core->loop);
}

static void watch_signals(struct house *house)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(signal_numbers); i++) {
		uv_signal_init(loop_uv(house->core->loop), &house->signals[i]);
		house->signals[i].data = house;
		uv_signal_start(&house->signals[i], on_signal, signal_numbers[i]);
	}
	house->watching = true;
}

static void let_signals_go(struct house *house)
{
	for (size_t i = 0; house->watching && i < ARRAY_SIZE(signal_numbers); i++)
		uv_close((uv_handle_t *)&house->signals[i], NULL);
}

/* ---- opening and closing ---- */

/* Only a warning: a daemon without any target needs no HAProxy, and can be installed before them. */
static void look_for_programs(const struct config *config)
{
	cleanup_error struct error *err = NULL;
	cleanup_free char *path = NULL;
	if (!path_exists("/usr/bin/bwrap") && !path_exists("/usr/local/bin/bwrap") && !path_exists("/bin/bwrap"))
		log_write(LOG_WARNING, "serve", "bubblewrap is not installed, so no stage can run: apt-get install bubblewrap");
	if (config->n_targets > 0 && haproxy_program(NULL, &path, &err) < 0)
		log_write(LOG_WARNING, "serve", "%s", error_message(err));
}

static int open_rooms(struct house *house, struct error **err)
{
	if (core_open(house->config, &house->core, err) < 0)
		return -1;
	cleanup_free char *listen_file = core_path(house->core, "listen");
	if (unlink(listen_file) < 0 && errno != ENOENT)
		return error_set(err, ERROR_IO, errno, "cannot remove %s", listen_file);
	watch_signals(house);
	metrics_watch(house->core);
	if (engine_open(house->core, &house->core->engine, err) < 0)
		return error_context(err, "engine");
	if (rollouts_open(house->core, &house->core->rollouts, err) < 0)
		return error_context(err, "rollouts");
	if (http_listen_unix(house->core, house->config->socket, api_routes, &house->inside, err) < 0)
		return -1;
	return http_listen_tcp(house->core, house->config->listen, public_routes, &house->outside, err);
}

static int announce(const struct house *house, struct error **err)
{
	const char *listen = house->config->listen;
	cleanup_free char *address = xasprintf("%.*s:%u", (int)(strrchr(listen, ':') - listen), listen, http_server_port(house->outside));
	cleanup_free char *line = xasprintf("%s\n", address), *file = core_path(house->core, "listen");
	if (file_write_atomic(file, line, strlen(line), 0644, err) < 0)
		return -1;
	fprintf(stderr, "penstock %s listens on %s (webhooks) and %s (commands)\n", PENSTOCK_VERSION, address, house->config->socket);
	return 0;
}

static void close_rooms(struct house *house)
{
	bool announced = house->outside != NULL;
	http_server_free(house->outside);
	http_server_free(house->inside);
	if (house->core) {
		core_commit(house->core);
		if (announced) {
			cleanup_free char *file = core_path(house->core, "listen");
			unlink(file);
		}
		rollouts_close(house->core->rollouts);
		engine_close(house->core->engine);
		let_signals_go(house);
		core_close(house->core);
	}
	config_free(house->config);
	while (house->old) {
		struct old_config *old = house->old;
		house->old = old->next;
		config_free(old->config);
		free(old);
	}
}

int serve(const char *config_file, struct error **err)
{
	struct house house = {.file = config_file};
	if (config_read(config_file, &house.config, err) < 0)
		return -1;
	look_for_programs(house.config);
	int served = open_rooms(&house, err);
	if (served == 0)
		served = announce(&house, err);
	if (served == 0)
		loop_run(house.core->loop);
	close_rooms(&house);
	return served;
}
