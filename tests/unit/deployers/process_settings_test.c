#include "deployers/process/settings.h"

#include "base/alloc.h"
#include "deployers/process/instances.h"
#include "deployers/target.h"
#include "tests/support/support.h"

#include <string.h>

static char *mistakes(const char *text)
{
	struct diag_list *diags = diag_list_new();
	struct yaml_doc *doc = yaml_parse("penstock.yml", text, strlen(text), diags);
	struct buf out;
	buf_init(&out, 65536);
	if (doc)
		schema_check(&process_schema, yaml_root(doc), diags);
	diag_print(diags, NULL, false, &out);
	yaml_doc_free(doc);
	diag_list_free(diags);
	return buf_steal(&out);
}

static void a_body_is_read_with_its_defaults(void **state)
{
	static const char text[] = "frontend: \"127.0.0.1:9000\"\nports: 20000-20100\ntimeout: 5s\nmemory: 512Mi\n";
	cleanup_error struct error *err = NULL;
	struct diag_list *diags = diag_list_new();
	struct yaml_doc *doc = yaml_parse("penstock.yml", text, strlen(text), diags);
	struct process_settings settings;
	(void)state;
	assert_true(schema_check(&process_schema, yaml_root(doc), diags));
	assert_ok(process_settings_read(yaml_root(doc), &settings, &err), err);
	assert_string_equal(settings.frontend, "127.0.0.1:9000");
	assert_int_equal(settings.port_first, 20000);
	assert_int_equal(settings.port_last, 20100);
	assert_int_equal(settings.max_connections, 4000);
	assert_int_equal(settings.threads, 1);
	assert_int_equal(settings.request_timeout_ms, 5000);
	assert_int_equal(settings.drain_ms, 30000);
	assert_int_equal(settings.memory_bytes, 512u << 20);
	assert_null(settings.haproxy);
	assert_null(settings.preview);
	process_settings_done(&settings);
	yaml_doc_free(doc);
	diag_list_free(diags);
}

static void mistakes_are_told_at_their_place(void **state)
{
	static const struct {
		const char *text, *told;
	} cases[] = {
		{"frontend: \"127.0.0.1:9000\"\n", "ports"},
		{"frontend: localhost\nports: 20000-20100\n", "penstock.yml:1:11: error: \"localhost\" is no address to listen on"},
		{"frontend: \"*:80\"\nports: 20100-20000\n", "penstock.yml:2:8: error: \"20100-20000\" is no range of ports"},
		{"frontend: \"*:80\"\npreview: 81\nports: 20000-20100\n", "penstock.yml:2:10: error: \"81\" is no address to listen on"},
		{"frontend: \"*:80\"\nports: many\n", "penstock.yml:2:8: error: \"many\" is no range of ports"},
		{"frontend: \"*:80\"\nports: 20000-70000\n", "penstock.yml:2:8: error: \"20000-70000\" is no range of ports"},
		{"frontend: \"*:80\"\nports: 20000\n", "penstock.yml:2:8: error: a rollout needs ports for the old and the new release at once"},
		{"frontend: \"*:80\"\nports: 20000-20100\nthreads: 0\n", "penstock.yml:3:10"},
		{"frontend: \"*:80\"\nport: 20000-20100\n", "did you mean \"ports\"?"},
		{"frontend: \"*:80\"\nports: 20000-20100\ndrain: 30\n", "penstock.yml:3:8"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *told = mistakes(cases[i].text);
		if (!strstr(told, cases[i].told))
			fail_msg("%s\nis told as:\n%s\nand not: %s", cases[i].text, told, cases[i].told);
	}
}

static void the_preview_has_an_address_of_its_own(void **state)
{
	static const char text[] = "frontend: \"*:80\"\npreview: \"*:80\"\nports: 20000-20100\n";
	cleanup_error struct error *err = NULL;
	struct diag_list *diags = diag_list_new();
	struct yaml_doc *doc = yaml_parse("penstock.yml", text, strlen(text), diags);
	struct process_settings settings;
	(void)state;
	assert_int_equal(process_settings_read(yaml_root(doc), &settings, &err), -1);
	assert_error(err, ERROR_INVALID, "`preview` and `frontend` are both *:80: give the preview an address of its own");
	yaml_doc_free(doc);
	diag_list_free(diags);
}

static void pauses_double_up_to_half_a_minute(void **state)
{
	static const uint64_t expected[] = {0, 250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
		assert_int_equal(instance_backoff_ms(i), expected[i]);
	assert_int_equal(instance_backoff_ms(1000000), 30000);
}

static void every_kind_of_target_is_whole(void **state)
{
	const struct target_ops *const *kinds = target_registry();
	(void)state;
	assert_non_null(kinds[0]);
	for (size_t i = 0; kinds[i]; i++) {
		const struct target_ops *kind = kinds[i];
		assert_true(kind->name && kind->doc && kind->config);
		assert_true(kind->open && kind->apply && kind->observe && kind->counts && kind->close);
		assert_ptr_equal(target_find(kind->name), kind);
		for (const struct schema_field *field = kind->config->fields; field->name; field++) {
			assert_non_null(field->doc);
			assert_true(field->required || field->fallback);
		}
	}
	assert_null(target_find("kubernetes"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_is_read_with_its_defaults),      cmocka_unit_test(mistakes_are_told_at_their_place),
		cmocka_unit_test(the_preview_has_an_address_of_its_own), cmocka_unit_test(pauses_double_up_to_half_a_minute),
		cmocka_unit_test(every_kind_of_target_is_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
