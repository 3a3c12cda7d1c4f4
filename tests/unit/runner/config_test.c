#include "tests/support/support.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "runner/config.h"

#include <string.h>

/* "1:3 message [hint]" lines. */
static char *mistakes(const char *text)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	struct config *config = config_parse("/etc/penstock/penstock.yml", text, strlen(text), diags);
	assert_true((config == NULL) == (diag_errors(diags) > 0));
	config_free(config);
	struct buf b;
	buf_init(&b, 65536);
	for (size_t i = 0; i < diag_count(diags); i++) {
		const struct diag *diag = diag_at(diags, i);
		buf_addf(&b, "%s%u:%u %s", b.len ? "\n" : "", diag->line, diag->column, diag->message);
		if (diag->hint)
			buf_addf(&b, " [%s]", diag->hint);
	}
	return buf_steal(&b);
}

#define PROCESS "process: {frontend: \"127.0.0.1:9000\", ports: 20000-20100}"

static const struct {
	const char *text, *expected;
} cases[] = {
	{"", ""},
	{"listen: 127.0.0.1:0\n", ""},
	{"targets: {prod: {" PROCESS "}}\n", ""},
	{"metric_sources: {prom: {prometheus: {url: \"http://127.0.0.1:9090\"}}}\n", ""},
	{"metric_sources: {p: {}}\n", "1:18 metric source \"p\" needs exactly one kind, such as \"prometheus\""},
	{"metric_sources: {p: {promethius: {}}}\n", "1:22 \"promethius\" is no kind of metric source [did you mean \"prometheus\"?]"},
	{"metric_sources: {app: {openmetrics: {}}}\n", "1:18 \"app\" is always the copies' own /metrics [choose another name]"},
	{"registries: {r: {url: x}}\nexecutors: {e: {}}\n",
	 "1:1 pushing to registries: not available in this build [remove it]\n"
	 "2:1 executors other than this machine: not available in this build [remove it]"},
	{"limits: {gpus: [0]}\n", "1:10 GPUs: not available in this build [remove it]"},
	{"limits: {gpus: []}\n", ""},
	{"listen: localhost\n", "1:9 \"localhost\" is not an address and a port [for example 127.0.0.1:8080]"},
	{"listen: 127.0.0.1:99999\n", "1:9 \"127.0.0.1:99999\" is not an address and a port [for example 127.0.0.1:8080]"},
	{"repositories: {a: {url: \"ssh://git@host/x\"}}\n",
	 "1:25 fetching over ssh: not available in this build [use https://, or a path on this machine]"},
	{"repositories: {a: {url: \"git@host:x\"}}\n",
	 "1:25 fetching over ssh: not available in this build [use https://, or a path on this machine]"},
	{"repositories: {a: {url: \"ext::sh -c x\"}}\n", "1:25 a repository's url is https://, http://, file:// or an absolute path"},
	{"repositories: {a: {url: \"--upload-pack=x\"}}\n", "1:25 a repository's url is https://, http://, file:// or an absolute path"},
	{"repositories: {a: {url: \"https://me:token@host/x.git\"}}\n",
	 "1:25 the url carries a name or password, which everybody could read in the list of processes"},
	{"repositories: {a: {url: \"/srv/a b.git\"}}\n", "1:25 a repository's url is https://, http://, file:// or an absolute path"},
	{"targets: {prod: {proces: {}}}\n", "1:18 \"proces\" is no kind of target [did you mean \"process\"?]"},
	{"targets: {prod: {allow: {branches: [main]}}}\n", "1:11 target \"prod\" needs a kind, such as \"process\""},
	{"targets: {prod: {" PROCESS ", allow: {approvals: 1}}}\n", "1:96 approvals: not available in this build [use 0]"},
	{"key_file: /var/lib/penstock/key\n",
	 "1:11 the sealing key must lie outside the state folder /var/lib/penstock, so that a copy of the state opens no secret"},
};

static void mistakes_are_told_at_their_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *got = mistakes(cases[i].text);
		if (strcmp(got, cases[i].expected) != 0)
			fail_msg("%s\nexpected %s\n     got %s", cases[i].text, cases[i].expected, got);
	}
}

static void unknown_keys_are_mistakes(void **state)
{
	(void)state;
	cleanup_free char *got = mistakes("listne: 127.0.0.1:1\nlimits: {paralel_stages: 2}\nretention: {runs: 90}\n");
	assert_non_null(strstr(got, "1:1 "));
	assert_non_null(strstr(got, "did you mean \"listen\"?"));
	assert_non_null(strstr(got, "2:10 "));
	assert_non_null(strstr(got, "did you mean \"parallel_stages\"?"));
	assert_non_null(strstr(got, "3:19 "));
}

static void everything_is_read(void **state)
{
	(void)state;
	static const char text[] =
		"listen: 127.0.0.1:0\nsocket: run/p.sock\nstate: st\nlimits: {parallel_stages: 7}\n"
		"repositories:\n  fraud: {url: \"https://git.example/acme/fraud.git\", webhook: {provider: github, secret: hook}, forks: approve}\n"
		"  open: {url: /srv/x.git}\n"
		"targets:\n  prod: {" PROCESS ", allow: {branches: [main, \"release/*\"], approvals: 0}}\n"
		"  free: {" PROCESS "}\n"
		"retention: {runs: 2d, logs: 1h, images: {keep: 3}}\n";
	cleanup_diags struct diag_list *diags = diag_list_new();
	struct config *config = config_parse("/etc/penstock/penstock.yml", text, sizeof(text) - 1, diags);
	if (!config)
		fail_msg("%s", diag_at(diags, 0)->message);
	assert_string_equal(config->listen, "127.0.0.1:0");
	assert_string_equal(config->socket, "/etc/penstock/run/p.sock");
	assert_string_equal(config->state, "/etc/penstock/st");
	assert_string_equal(config->key_file, "/etc/penstock/penstock.key");
	assert_int_equal(config->parallel_stages, 7);
	assert_int_equal(config->keep_runs_ms, 2 * 24 * 3600 * 1000);
	assert_int_equal(config->keep_logs_ms, 3600 * 1000);
	assert_int_equal(config->keep_images, 3);
	const struct config_repository *fraud = config_repository(config, "fraud"), *open_one = config_repository(config, "open");
	assert_string_equal(fraud->provider, "github");
	assert_string_equal(fraud->webhook_secret, "hook");
	assert_string_equal(fraud->forks, "approve");
	assert_null(open_one->provider);
	assert_string_equal(open_one->forks, "refuse");
	assert_null(config_repository(config, "x"));
	const struct config_target *prod = config_target(config, "prod"), *free_one = config_target(config, "free");
	assert_string_equal(prod->kind, "process");
	assert_non_null(yaml_get(prod->body, "frontend"));
	assert_true(globs_match(&prod->allow_branches, "release/1"));
	assert_false(globs_match(&prod->allow_branches, "dev"));
	/* What `allow` does not list is not allowed; without `allow` all is. */
	assert_false(globs_match(&prod->allow_tags, "v1"));
	assert_true(globs_match(&free_one->allow_tags, "v1") && globs_match(&free_one->allow_branches, "dev"));
	config_free(config);
}

static void a_bad_file_is_an_error_with_all_its_diagnostics(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *file = fixture_write(fixture, "penstock.yml", "listen: here\n");
	cleanup_error struct error *err = NULL;
	struct config *config = NULL;
	assert_int_equal(config_read(file, &config, &err), -1);
	assert_int_equal(error_code_of(err), ERROR_INVALID);
	assert_non_null(strstr(error_message(err), "penstock.yml:1:9: error: \"here\" is not an address and a port"));
	assert_non_null(strstr(error_message(err), "^~~~"));
}

static void a_missing_file_is_told(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *file = path_join(fixture->dir, "none.yml");
	cleanup_error struct error *err = NULL;
	struct config *config = NULL;
	assert_int_equal(config_read(file, &config, &err), -1);
	assert_int_equal(error_code_of(err), ERROR_NOT_FOUND);
}

static void a_local_run_needs_no_file(void **state)
{
	(void)state;
	struct config *config = config_local("/tmp/x");
	assert_string_equal(config->state, "/tmp/x");
	assert_int_equal(config->n_repositories + config->n_targets, 0);
	assert_int_equal(config->parallel_stages, 2);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes_are_told_at_their_place),
		cmocka_unit_test(unknown_keys_are_mistakes),
		cmocka_unit_test(everything_is_read),
		cmocka_unit_test_setup_teardown(a_bad_file_is_an_error_with_all_its_diagnostics, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_missing_file_is_told, fixture_setup, fixture_teardown),
		cmocka_unit_test(a_local_run_needs_no_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
