#include "base/attempt/leader.h"
#include "base/attempt/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void *must_alloc(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory)
		abort();
	return memory;
}

void text_list_add(struct text_list *list, const char *text)
{
	if (list->n + 1 >= list->capacity) {
		list->capacity = list->capacity ? list->capacity * 2 : 16;
		list->items = realloc(list->items, list->capacity * sizeof(*list->items));
		if (!list->items)
			abort();
	}
	list->items[list->n++] = (char *)(uintptr_t)text;
	list->items[list->n] = NULL;
}

char *read_whole(int fd, size_t max, size_t *ret_len)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NULL;
	if ((uint64_t)st.st_size > max) {
		errno = EFBIG;
		return NULL;
	}
	size_t size = (size_t)st.st_size, len = 0;
	char *bytes = must_alloc(size + 1);
	while (len < size) {
		ssize_t n = pread(fd, bytes + len, size - len, (off_t)len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return bytes;
}

bool write_whole(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static struct leader_command *add_command(struct leader_spec *spec, const char *name)
{
	spec->commands = realloc(spec->commands, (spec->n_commands + 1) * sizeof(*spec->commands));
	if (!spec->commands)
		abort();
	struct leader_command *command = &spec->commands[spec->n_commands++];
	*command = (struct leader_command){.name = name, .stage_dir = "/mnt"};
	return command;
}

/* Text fields of a command; false for a key that is none. */
static bool command_text(struct leader_command *command, const char *key, char *value)
{
	if (strcmp(key, "argv") == 0)
		text_list_add(&command->argv, value);
	else if (strcmp(key, "env") == 0)
		text_list_add(&command->env, value);
	else if (strcmp(key, "wrapper") == 0)
		text_list_add(&command->wrapper, value);
	else if (strcmp(key, "stage") == 0)
		text_list_add(&command->stage, value);
	else if (strcmp(key, "stage_dir") == 0)
		command->stage_dir = value;
	else if (strcmp(key, "dir") == 0)
		command->dir = value;
	else
		return false;
	return true;
}

static bool command_number(struct leader_command *command, const char *key, uint64_t number)
{
	if (strcmp(key, "to_result") == 0)
		command->to_result = number;
	else if (strcmp(key, "with_secrets") == 0)
		command->with_secrets = number;
	else if (strcmp(key, "gid") == 0)
		command->gid = (gid_t)number;
	else if (strcmp(key, "uid") == 0) {
		command->uid = (uid_t)number;
		command->has_user = true;
	} else
		return false;
	return true;
}

static bool spec_number(struct leader_spec *spec, const char *key, uint64_t number)
{
	if (strcmp(key, "timeout_ms") == 0)
		spec->timeout_ms = number;
	else if (strcmp(key, "grace_ms") == 0)
		spec->grace_ms = number;
	else if (strcmp(key, "memory_bytes") == 0)
		spec->memory_bytes = number;
	else if (strcmp(key, "log_max_bytes") == 0)
		spec->log_max_bytes = number;
	else if (strcmp(key, "open_files") == 0)
		spec->open_files = number;
	else if (strcmp(key, "cpu") == 0)
		spec->cpu = number;
	else
		return false;
	return true;
}

bool leader_spec_parse(struct leader_spec *spec, char *bytes, size_t len, char *ret_why, size_t why_size)
{
	struct record_reader reader = record_reader(bytes, len);
	struct leader_command *command = NULL;
	const char *key;
	char *value;
	size_t value_len;
	uint64_t number;
	int status;

	while ((status = record_next(&reader, &key, &value, &value_len)) > 0) {
		if (strcmp(key, "command") == 0) {
			command = add_command(spec, value);
			continue;
		}
		if (command && command_text(command, key, value))
			continue;
		if (record_number(value, &number) && (command ? command_number(command, key, number) : spec_number(spec, key, number)))
			continue;
		snprintf(ret_why, why_size, "spec: unknown or malformed field \"%s\"; penstock-leader does not match penstock", key);
		return false;
	}
	if (status < 0 || spec->n_commands == 0) {
		snprintf(ret_why, why_size, "spec: %s", status < 0 ? "cut or malformed" : "no command");
		return false;
	}
	for (size_t i = 0; i < spec->n_commands; i++) {
		if (spec->commands[i].argv.n > 0)
			continue;
		snprintf(ret_why, why_size, "spec: command \"%s\" has no argv", spec->commands[i].name);
		return false;
	}
	return true;
}

bool leader_secrets_parse(struct leader_spec *spec, char *bytes, size_t len)
{
	struct record_reader reader = record_reader(bytes, len);
	const char *key;
	char *value;
	size_t value_len;
	const char *name = NULL;
	int status;

	while ((status = record_next(&reader, &key, &value, &value_len)) > 0) {
		if (strcmp(key, "name") == 0) {
			name = value;
			continue;
		}
		if (strcmp(key, "value") != 0 || !name)
			return false;
		spec->secrets = realloc(spec->secrets, (spec->n_secrets + 1) * sizeof(*spec->secrets));
		if (!spec->secrets)
			abort();
		spec->secrets[spec->n_secrets++] = (struct leader_secret){.name = name, .value = value, .len = value_len};
		name = NULL;
	}
	return status == 0;
}
