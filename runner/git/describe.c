/* A commit as JSON, and the pipeline files in it. */
#include "runner/git/git_priv.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <string.h>

#define MESSAGE_MAX_BYTES (64 * 1024)

/* Messages and names come from anybody: what is no UTF-8 is told with question marks. */
static json_t *text_json(const char *text, size_t max)
{
	size_t len = strnlen(text, max);
	json_t *json = json_stringn(text, len);
	if (json)
		return json;
	cleanup_free char *plain = xstrndup(text, len);
	for (char *p = plain; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	return json_string(plain);
}

json_t *commit_json(const git_commit *commit)
{
	char sha[GIT_OID_HEXSZ + 1], time[RFC3339_SIZE];
	git_oid_tostr(sha, sizeof(sha), git_commit_id(commit));
	clock_rfc3339((int64_t)git_commit_time(commit) * 1000, time);
	const git_signature *author = git_commit_author(commit);
	cleanup_free char *who = xasprintf("%s <%s>", author && author->name ? author->name : "", author && author->email ? author->email : "");
	return json_pack("{s:s, s:o, s:o, s:s, s:I, s:n, s:n, s:[]}", "commit", sha, "author", text_json(who, 1024), "message",
			 text_json(git_commit_message(commit), MESSAGE_MAX_BYTES), "time", time, "timestamp", (json_int_t)git_commit_time(commit),
			 "before", "changed", "pipelines");
}

bool is_pipeline_file(const char *name)
{
	size_t len = strlen(name);
	return len > 4 && name[0] != '.' && strcmp(name + len - 4, ".yml") == 0;
}

int add_pipeline(json_t *pipelines, const char *file, const char *text, size_t len, struct error **err)
{
	if (len > YAML_MAX_BYTES)
		return error_set(err, ERROR_TOO_LARGE, 0, "%s has more than 1 MiB", file);
	if (json_array_size(pipelines) >= PIPELINES_MAX)
		return error_set(err, ERROR_TOO_LARGE, 0, "there are more than %d pipelines", PIPELINES_MAX);
	json_t *body = memchr(text, '\0', len) ? NULL : json_stringn(text, len);
	if (!body)
		return error_set(err, ERROR_INVALID, 0, "%s is not UTF-8 text", file);
	json_array_append_new(pipelines, json_pack("{s:s, s:o}", "file", file, "text", body));
	return 0;
}
