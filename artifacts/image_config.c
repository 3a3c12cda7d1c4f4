#include "artifacts/capture.h"
#include "artifacts/layout.h"
#include "base/alloc.h"

#define MAX_STRINGS 4096

/* Appends an array of strings; absent and null are empty. */
static int add_strings(struct strlist *list, const json_t *object, const char *key, struct error **err)
{
	const json_t *array = json_object_get(object, key);
	if (!array || json_is_null(array))
		return 0;
	if (!json_is_array(array) || json_array_size(array) > MAX_STRINGS)
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected an array of at most %d strings", key, MAX_STRINGS);
	for (size_t i = 0; i < json_array_size(array); i++) {
		const json_t *item = json_array_get(array, i);
		/* A NUL inside would be cut off silently when it becomes an argument. */
		if (!json_is_string(item) || strlen(json_string_value(item)) != json_string_length(item))
			return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected strings", key);
		strlist_add(list, json_string_value(item));
	}
	return 0;
}

static char **take_items(struct strlist *list)
{
	char **items = list->items ? STEAL(list->items) : xcalloc(1, sizeof(*items));
	*list = (struct strlist){0};
	return items;
}

/* "8080/tcp" or "8080"; JSON objects have no order, so of several the lowest is the first. */
static int read_port(const json_t *config, uint16_t *ret, struct error **err)
{
	const char *key;
	json_t *value;
	unsigned long lowest = 0;
	json_object_foreach((json_t *)json_object_get(config, "ExposedPorts"), key, value)
	{
		char *end;
		unsigned long port = key[0] >= '0' && key[0] <= '9' ? strtoul(key, &end, 10) : 0;
		if (port == 0 || port > UINT16_MAX || (*end && strcmp(end, "/tcp") != 0 && strcmp(end, "/udp") != 0))
			return error_set(err, ERROR_INVALID, 0, "key \"ExposedPorts\": \"%s\" is no port", key);
		if (strcmp(end, "/udp") != 0 && (lowest == 0 || port < lowest))
			lowest = port;
	}
	*ret = (uint16_t)lowest;
	return 0;
}

static int read_config(const json_t *config, struct image_config *ret, struct error **err)
{
	cleanup_strlist struct strlist argv = {0}, env = {0};
	uint16_t port;
	if (add_strings(&argv, config, "Entrypoint", err) < 0 || add_strings(&argv, config, "Cmd", err) < 0 ||
	    add_strings(&env, config, "Env", err) < 0 || read_port(config, &port, err) < 0)
		return -1;
	const char *dir = json_string_or(config, "WorkingDir", "");
	if (dir[0] && dir[0] != '/')
		return error_set(err, ERROR_INVALID, 0, "key \"WorkingDir\": \"%s\" is no absolute path", dir);
	const char *base = json_string_or(json_object_get(config, "Labels"), PENSTOCK_BASE, "");
	*ret = (struct image_config){.entrypoint = take_items(&argv),
				     .env = take_items(&env),
				     .dir = dir[0] ? xstrdup(dir) : NULL,
				     .port = port,
				     .host_base = strcmp(base, "host") == 0};
	return 0;
}

int image_config_read(const char *layout, const char *manifest_digest, struct image_config *ret, struct error **err)
{
	cleanup_fd int fd = layout_open(layout, err);
	if (fd < 0)
		return -1;
	cleanup_json json_t *manifest = NULL;
	cleanup_json json_t *config = NULL;
	const char *digest;
	if (layout_read_json(fd, manifest_digest, &manifest, err) < 0 ||
	    json_need_string(json_object_get(manifest, "config"), "digest", &digest, err) < 0 ||
	    layout_read_json(fd, digest, &config, err) < 0 || read_config(json_object_get(config, "config"), ret, err) < 0)
		return error_context(err, "image %s", manifest_digest);
	return 0;
}

void image_config_done(struct image_config *config)
{
	for (char **item = config->entrypoint; item && *item; item++)
		free(*item);
	for (char **item = config->env; item && *item; item++)
		free(*item);
	free(config->entrypoint);
	free(config->env);
	free(config->dir);
	*config = (struct image_config){0};
}
