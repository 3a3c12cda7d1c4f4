#include "runner/cli/rollout_find.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

#define MAX_EVENTS ((size_t)(64 << 20))

bool rollout_number(const char *word, int64_t *ret)
{
	const char *digits = word[0] == '#' ? word + 1 : strncmp(word, "rollout/", 8) == 0 ? word + 8 : word;
	size_t len = strlen(digits);
	if (len == 0 || len > 15 || strspn(digits, "0123456789") != len || strtoll(digits, NULL, 10) == 0)
		return false;
	*ret = strtoll(digits, NULL, 10);
	return true;
}

static bool under_way(const json_t *rollout)
{
	return json_int_or(rollout, "finished_ms", 0) == 0 && strcmp(json_string_or(rollout, "state", ""), "waiting") != 0;
}

/* The list is newest first. */
static int choose(const json_t *rollouts, int64_t *ret, struct error **err)
{
	const json_t *rollout, *chosen = NULL;
	size_t i;
	json_array_foreach(rollouts, i, rollout)
	{
		if (!under_way(rollout))
			continue;
		if (chosen)
			return error_set(err, ERROR_INVALID, 0, "several rollouts are under way, to %s and %s; name one",
					 json_string_or(chosen, "target", "?"), json_string_or(rollout, "target", "?"));
		chosen = rollout;
	}
	chosen = chosen ? chosen : json_array_get(rollouts, 0);
	if (!chosen)
		return error_set(err, ERROR_NOT_FOUND, 0, "there are no rollouts");
	*ret = json_int_or(chosen, "id", 0);
	return 0;
}

int rollout_find(const struct cli_arguments *arguments, const char *word, int64_t *ret, struct error **err)
{
	cleanup_json json_t *answer = NULL;
	if (word && rollout_number(word, ret))
		return 0;
	cleanup_free char *target = word ? client_escape(word) : NULL;
	cleanup_free char *path = xasprintf("/v1/rollouts%s%s", target ? "?target=" : "", target ? target : "");
	if (client_call(arguments, "GET", path, NULL, &answer, err) < 0)
		return -1;
	const json_t *rollouts = json_object_get(answer, "rollouts");
	if (!word)
		return choose(rollouts, ret, err);
	if (json_array_size(rollouts) == 0)
		return error_set(err, ERROR_NOT_FOUND, 0, "\"%.60s\" is no number of a rollout, and no rollout went to a target of that name", word);
	*ret = json_int_or(json_array_get(rollouts, 0), "id", 0);
	return 0;
}

int rollout_fetch(const struct cli_arguments *arguments, int64_t id, json_t **ret, struct error **err)
{
	cleanup_free char *path = xasprintf("/v1/rollouts/%lld", (long long)id);
	return client_call(arguments, "GET", path, NULL, ret, err);
}

static int collect(void *arg, const char *bytes, size_t len)
{
	struct buf *text = arg;
	buf_add(text, bytes, len);
	return text->failed;
}

int rollout_events(const struct cli_arguments *arguments, int64_t id, int64_t after, json_t *events, struct error **err)
{
	cleanup_free char *path = xasprintf("/v1/events?after=%lld&subject=rollout/%lld", (long long)after, (long long)id);
	cleanup_buf struct buf text;
	buf_init(&text, MAX_EVENTS);
	if (client_stream(arguments, path, collect, &text, err) < 0)
		return -1;
	for (const char *line = text.data, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		json_t *event;
		if (json_parse(line, (size_t)(end - line), &event, err) < 0)
			return error_context(err, "the daemon's events");
		json_array_append_new(events, event);
	}
	return 0;
}
