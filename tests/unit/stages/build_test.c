#include "stages/build/build.h"

#include "artifacts/capture.h"
#include "artifacts/layout.h"
#include "base/child.h"
#include "base/file.h"
#include "stages/build/build_priv.h"
#include "stages/command.h"
#include "tests/support/support.h"

#include <fcntl.h>
#include <sys/stat.h>

#define BODY                                                     \
	"image: registry.local/fraud\n"                          \
	"base: host\n"                                           \
	"layers:\n"                                              \
	"  - {from: model/, to: /app/model/, compression: none}\n" \
	"  - {from: src/serve.py, to: /app/}\n"                  \
	"entrypoint: [python3, /app/serve.py]\n"                 \
	"env: {MODE: 1.10}\n"                                    \
	"port: 8080\n"

static char *read_text(const char *dir, const char *name)
{
	cleanup_free char *path = path_join(dir, name);
	cleanup_error struct error *err = NULL;
	char *text = NULL;
	assert_ok(file_read(path, 1 << 20, &text, NULL, &err), err);
	return text;
}

/* ---- the schema ---- */

static void mistakes_are_told_at_their_place(void **state)
{
	(void)state;
	static const char digest[] = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
	cleanup_free char *pulled = xasprintf("base: debian@%s", digest);
	const struct {
		const char *line, *code, *message;
	} cases[] = {
		{"sbom: cyclonedx", "unsupported", "\"sbom\" is not available in this build"},
		{"sign: true", "unsupported", "\"sign\" is not available in this build"},
		{"push: true", "unsupported", "\"push\" is not available in this build"},
		{pulled, "unsupported", "a base image pulled from a registry is not available in this build"},
		{"base: debian:12", "unknown-value", "\"base\" must be host, none or name@sha256:<64 digits>, not \"debian:12\""},
		{"image: fraud:latest", "bad-name",
		 "\"image\" must be a name such as registry.local/fraud, in lower case and without a tag, not \"fraud:latest\""},
		{"image: a//b", "bad-name", "\"image\" must be a name such as registry.local/fraud, in lower case and without a tag, not \"a//b\""},
		{"version: release 1", "bad-version",
		 "\"version\" must be letters, digits, \"_\", \".\" and \"-\", at most 128, not \"release 1\""},
		{"workdir: app", "bad-path", "\"workdir\" must be an absolute path, not \"app\""},
		{"env: {\"A B\": x}", "bad-name", "\"A B\" is no name of an environment variable"},
		{"layers: [{from: a, to: app/}]", "bad-path", "\"to\" must be an absolute path without \"..\", such as /app/model/, not \"app/\""},
		{"layers: [{from: a, to: /app/../x}]", "bad-path",
		 "\"to\" must be an absolute path without \"..\", such as /app/model/, not \"/app/../x\""},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* Whichever of the three required keys the case does not bring. */
		cleanup_free char *text = xasprintf("%s%s%s%s\n", strncmp(cases[i].line, "image", 5) ? "image: host.example:5000/a/b_c\n" : "",
						    strncmp(cases[i].line, "base", 4) ? "base: none\n" : "",
						    strncmp(cases[i].line, "layers", 6) ? "layers: [{from: a, to: /b}]\n" : "", cases[i].line);
		cleanup_diags struct diag_list *diags = diag_list_new();
		cleanup_yaml struct yaml_doc *doc = yaml_parse("x.yml", text, strlen(text), diags);
		assert_non_null(doc);
		assert_false(schema_check(&build_body_schema, yaml_root(doc), diags));
		assert_int_equal(diag_count(diags), 1);
		assert_string_equal(diag_at(diags, 0)->message, cases[i].message);
		assert_string_equal(diag_at(diags, 0)->code, cases[i].code);
		assert_true(diag_at(diags, 0)->line > 0);
	}
}

static void off_is_fine_for_what_is_not_available(void **state)
{
	(void)state;
	static const char text[] = BODY "sbom: none\nsign: false\npush: false\nversion: auto\nworkdir: /app\n";
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_yaml struct yaml_doc *doc = yaml_parse("x.yml", text, sizeof(text) - 1, diags);
	assert_true(schema_check(&build_body_schema, yaml_root(doc), diags));
}

static void every_key_is_documented(void **state)
{
	(void)state;
	cleanup_free char *page = read_text(SOURCE_DIR, "docs/stages/build.md");
	for (const struct schema_field *field = build_body_schema.fields; field->name; field++) {
		cleanup_free char *row = xasprintf("| `%s` |", field->name);
		if (!field->doc || !strstr(page, row))
			fail_msg("docs/stages/build.md has no row for \"%s\"", field->name);
	}
}

/* ---- versions ---- */

static void versions_come_from_tag_day_and_run(void **state)
{
	(void)state;
	static const struct {
		const char *tag;
		int64_t committed_s;
		uint64_t run;
		const char *version;
	} cases[] = {
		{NULL, 1795470000, 12, "2026.11.23-12"},
		{NULL, 0, 1, "1970.01.01-1"},
		{NULL, -1, 12, "12"},
		{"", 1795470000, 12, "2026.11.23-12"},
		{"v1.2.0", 1795470000, 12, "v1.2.0"},
		{"release/1.0+cu12", 0, 12, "release-1.0-cu12"},
		{"-rc", 0, 12, "_rc"},
		{"$(rm -rf x)", 0, 12, "_-rm--rf-x-"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_arena struct arena *arena = arena_new();
		const char *version = build_version(cases[i].tag, cases[i].committed_s, cases[i].run, arena);
		assert_string_equal(version, cases[i].version);
		assert_true(layout_tag_is_valid(version));
	}
}

/* ---- prepare ---- */

/* Prepares BODY (and more) for an event; the work is the caller's to free. */
static void prepare(const char *more, const struct event_facts *event, const struct name_value *env, size_t n_env, struct stage_work *ret)
{
	cleanup_free char *text = xasprintf("%s%s", BODY, more);
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_yaml struct yaml_doc *doc = yaml_parse("x.yml", text, strlen(text), diags);
	assert_true(schema_check(build_stage.kind.schema, yaml_root(doc), diags));
	const struct plan_stage planned = {.body = yaml_root(doc), .env = env, .n_env = n_env};
	cleanup_arena struct arena *arena = arena_new();
	const struct stage_facts facts = {.planned = &planned, .event = event, .arena = arena};
	cleanup_error struct error *err = NULL;
	assert_ok(build_stage.prepare(&facts, ret, &err), err);
}

static void drop(struct stage_work *work)
{
	strlist_done(&work->argv);
	free(work->in_files[0].name);
	free(work->in_files[0].bytes);
}

static void the_work_is_a_command_anybody_can_run(void **state)
{
	(void)state;
	const struct event_facts event = {.kind = EVENT_PUSH, .run_number = 12, .commit = "0123456789abcdef0123456789abcdef01234567"};
	const struct name_value env[] = {{"A", "b"}, {"CI_COMMIT_TIMESTAMP", "1795470000"}};
	struct stage_work work;
	prepare("", &event, env, ARRAY_SIZE(env), &work);
	assert_int_equal(work.type, WORK_COMMAND);
	assert_true(work.native);
	assert_true(work.makes_image);
	static const char *const argv[] = {"/run/penstock/penstock", "build", "--spec", "/run/penstock/in/build.json", "--context", "/workspace",
					   "--layout", "/run/penstock/layout", "--tag", "image", "--format", "json"};
	assert_int_equal(work.argv.n, ARRAY_SIZE(argv));
	for (size_t i = 0; i < ARRAY_SIZE(argv); i++)
		assert_string_equal(work.argv.items[i], argv[i]);
	assert_int_equal(work.n_in_files, 1);
	assert_string_equal(work.in_files[0].name, "build.json");
	assert_string_equal(work.in_files[0].bytes, "{\n"
						    "  \"base\": \"host\",\n"
						    "  \"created\": 1795470000,\n"
						    "  \"entrypoint\": [\n"
						    "    \"python3\",\n"
						    "    \"/app/serve.py\"\n"
						    "  ],\n"
						    "  \"env\": {\n"
						    "    \"MODE\": \"1.10\"\n"
						    "  },\n"
						    "  \"image\": \"registry.local/fraud\",\n"
						    "  \"layers\": [\n"
						    "    {\n"
						    "      \"compression\": \"none\",\n"
						    "      \"from\": \"model/\",\n"
						    "      \"to\": \"/app/model/\"\n"
						    "    },\n"
						    "    {\n"
						    "      \"compression\": \"gzip\",\n"
						    "      \"from\": \"src/serve.py\",\n"
						    "      \"to\": \"/app/\"\n"
						    "    }\n"
						    "  ],\n"
						    "  \"port\": 8080,\n"
						    "  \"revision\": \"0123456789abcdef0123456789abcdef01234567\",\n"
						    "  \"title\": \"fraud\",\n"
						    "  \"version\": \"2026.11.23-12\"\n"
						    "}\n");
	drop(&work);
}

static void the_version_follows_the_event(void **state)
{
	(void)state;
	static const struct {
		enum event_kind kind;
		const char *tag, *more, *stamp, *version;
	} cases[] = {
		{EVENT_TAG, "v2", "", "1795470000", "\"version\": \"v2\""},
		{EVENT_PUSH, "v2", "version: auto\n", "1795470000", "\"version\": \"2026.11.23-7\""},
		{EVENT_TAG, "v2", "version: '1.10'\n", "1795470000", "\"version\": \"1.10\""},
		{EVENT_PUSH, NULL, "", "yesterday", "\"version\": \"7\""},
		{EVENT_PUSH, NULL, "", "99999999999999", "\"version\": \"7\""},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct event_facts event = {.kind = cases[i].kind, .tag = cases[i].tag, .run_number = 7};
		const struct name_value env[] = {{"CI_COMMIT_TIMESTAMP", cases[i].stamp}};
		struct stage_work work;
		prepare(cases[i].more, &event, env, 1, &work);
		assert_non_null(strstr(work.in_files[0].bytes, cases[i].version));
		assert_null(strstr(work.in_files[0].bytes, "revision"));
		drop(&work);
	}
}

/* ---- the command ---- */

/* Runs it with standard output and error in <dir>/stdout and <dir>/stderr. */
static int build(const struct fixture *fixture, const char *const *more)
{
	const char *argv[16] = {"build"};
	int argc = 1;
	for (; *more; more++)
		argv[argc++] = *more;
	cleanup_free char *out = path_join(fixture->dir, "stdout");
	cleanup_free char *err = path_join(fixture->dir, "stderr");
	fflush(NULL);
	int saved_out = dup(1), saved_err = dup(2);
	int out_fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0644), err_fd = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	dup2(out_fd, 1);
	dup2(err_fd, 2);
	int status = build_command(argc, (char **)(uintptr_t)argv);
	fflush(NULL);
	dup2(saved_out, 1);
	dup2(saved_err, 2);
	close(saved_out), close(saved_err), close(out_fd), close(err_fd);
	return status;
}

static void the_prepared_file_builds_the_image(void **state)
{
	const struct fixture *fixture = *state;
	const struct event_facts event = {.kind = EVENT_PUSH, .run_number = 12, .commit = "abc"};
	const struct name_value env[] = {{"CI_COMMIT_TIMESTAMP", "1795470000"}};
	struct stage_work work;
	prepare("", &event, env, 1, &work);
	cleanup_free char *spec = fixture_write(fixture, "build.json", work.in_files[0].bytes);
	drop(&work);
	free(fixture_write(fixture, "ctx/model/w", "weights"));
	free(fixture_write(fixture, "ctx/src/serve.py", "pass\n"));
	cleanup_free char *context = path_join(fixture->dir, "ctx");
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	assert_int_equal(build(fixture, (const char *[]){"--spec", spec, "--context", context, "--layout", layout, "--tag", "image", "--format",
							 "json", NULL}),
			 0);
	cleanup_free char *text = read_text(fixture->dir, "stdout");
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *json = NULL;
	assert_ok(json_parse(text, strlen(text), &json, &err), err);
	assert_string_equal(json_string_or(json, "version", ""), "2026.11.23-12");
	assert_string_equal(json_string_or(json, "ref", ""), "registry.local/fraud:2026.11.23-12");
	assert_true(json_int_or(json, "size", 0) > 2048);
	const json_t *layers = json_object_get(json, "layers"), *weights = json_array_get(layers, 0), *code = json_array_get(layers, 1);
	assert_int_equal(json_array_size(layers), 2);
	assert_string_equal(json_string_or(weights, "media_type", ""), "application/vnd.oci.image.layer.v1.tar");
	assert_string_equal(json_string_or(weights, "digest", ""), json_string_or(weights, "diff_id", "x"));
	assert_int_equal(json_int_or(weights, "size", 0), 4 * 512 + 2 * 512);
	assert_string_equal(json_string_or(code, "media_type", ""), "application/vnd.oci.image.layer.v1.tar+gzip");
	char digest[DIGEST_SIZE];
	cleanup_fd int fd = layout_open(layout, &err);
	assert_ok(layout_find_tag(fd, "image", digest, &err), err);
	assert_string_equal(digest, json_string_or(json, "digest", ""));
	struct image_config config;
	assert_ok(image_config_read(layout, digest, &config, &err), err);
	assert_true(config.host_base);
	assert_int_equal(config.port, 8080);
	assert_string_equal(config.env[0], "MODE=1.10");
	image_config_done(&config);
}

static void a_person_may_write_the_spec_as_yaml(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *spec = fixture_write(fixture, "build.yml", BODY);
	free(fixture_write(fixture, "ctx/model/w", "weights"));
	free(fixture_write(fixture, "ctx/src/serve.py", "pass\n"));
	cleanup_free char *context = path_join(fixture->dir, "ctx");
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	assert_int_equal(build(fixture, (const char *[]){"--spec", spec, "--context", context, "--layout", layout, NULL}), 0);
	cleanup_free char *text = read_text(fixture->dir, "stdout");
	assert_int_equal(strncmp(text, "registry.local/fraud:dev\nsha256:", 32), 0);
	char digest[DIGEST_SIZE];
	cleanup_error struct error *err = NULL;
	cleanup_fd int fd = layout_open(layout, &err);
	assert_ok(layout_find_tag(fd, "dev", digest, &err), err);
}

static void exit_codes_tell_whose_mistake_it_is(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *good = fixture_write(fixture, "good.yml", BODY);
	cleanup_free char *bad = fixture_write(fixture, "bad.yml", "image: x\nbase: none\nlayer: []\n");
	cleanup_free char *absent = path_join(fixture->dir, "absent.yml");
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_free char *in_the_way = fixture_write(fixture, "file", "x");
	cleanup_free char *no_layout = path_join(in_the_way, "layout");
	const struct {
		const char *spec, *layout;
		int status;
		const char *text; /* in the messages */
	} cases[] = {
		{good, layout, 1, "penstock build: layer 1 (from model/ to /app/model/): model/ does not exist\n"},
		{bad, layout, 2, "bad.yml:3:1: error: "},
		{absent, layout, 2, "absent.yml: No such file or directory\n"},
		{good, no_layout, 5, "penstock build: cannot make directory "},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int status = build(fixture, (const char *[]){"--spec", cases[i].spec, "--context", fixture->dir, "--layout", cases[i].layout, NULL});
		cleanup_free char *text = read_text(fixture->dir, "stderr");
		if (status != cases[i].status || !strstr(text, cases[i].text))
			fail_msg("case %zu: exit %d: %s", i, status, text);
		cleanup_free char *out = read_text(fixture->dir, "stdout");
		assert_string_equal(out, "");
	}
	assert_int_equal(build(fixture, (const char *[]){"--spec", good, NULL}), 2);
	cleanup_free char *text = read_text(fixture->dir, "stderr");
	assert_string_equal(text, "usage: penstock build --spec FILE --context DIR --layout DIR [--tag NAME] [--format text|json]\n");
	assert_int_equal(build(fixture, (const char *[]){"--spec", good, "--context", "c", "--layout", "l", "--format", "xml", NULL}), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes_are_told_at_their_place),
		cmocka_unit_test(off_is_fine_for_what_is_not_available),
		cmocka_unit_test(every_key_is_documented),
		cmocka_unit_test(versions_come_from_tag_day_and_run),
		cmocka_unit_test(the_work_is_a_command_anybody_can_run),
		cmocka_unit_test(the_version_follows_the_event),
		cmocka_unit_test_setup_teardown(the_prepared_file_builds_the_image, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_person_may_write_the_spec_as_yaml, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(exit_codes_tell_whose_mistake_it_is, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
