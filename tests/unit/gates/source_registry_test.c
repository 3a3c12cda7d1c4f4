/* The contract that every kind of metric source keeps. */
#include "gates/sources/builtin.h"
#include "gates/sources/source.h"

#include "tests/support/support.h"

#include <string.h>

/* A body that each kind accepts; a new row of the registry needs one here. */
static const struct {
	const char *kind, *body;
} bodies[] = {
	{"openmetrics", "path: /stats\ntimeout: 200ms"},
	{"prometheus", "url: 'http://127.0.0.1:1'\ntimeout: 200ms"},
	{"json", "url: 'http://127.0.0.1:1/{{arm}}'\ntimeout: 200ms"},
	{"command", "run: [/nowhere/program, '{{arm}}']"},
};
static const struct analysis_metric good[] = {
	{.metric = "openmetrics", .kind = METRIC_MEAN, .value = "x", .high = 1},
	{.metric = "prometheus", .kind = METRIC_MEAN, .value = "x", .high = 1},
	{.metric = "json", .kind = METRIC_MEAN, .value = "/x", .high = 1},
	{.metric = "command", .kind = METRIC_MEAN, .value = "/x", .high = 1},
};

static void every_kind_is_documented_and_found(void **state)
{
	(void)state;
	size_t n = 0;
	for (const struct source_ops *const *row = source_registry(); *row; row++, n++) {
		const struct source_ops *ops = *row;
		assert_ptr_equal(source_find(ops->name), ops);
		assert_true(strlen(ops->doc) > 40);
		assert_int_equal(ops->config->type, SCHEMA_STRUCT);
		for (const struct schema_field *field = ops->config->fields; field->name; field++)
			assert_true(strlen(field->doc) > 10);
		assert_true(ops->check && ops->open && ops->close && ops->watch && ops->read && ops->unwatch);
		ops->close(NULL);
		ops->unwatch(NULL);
	}
	assert_int_equal(n, ARRAY_SIZE(bodies));
	assert_null(source_find("graphite"));
}

static void built_in_selectors_suit_the_kinds_that_understand_them(void **state)
{
	(void)state;
	static const char *const names[] = {"prediction_drift", "score_distribution", "feature_bins.amount", "accuracy", "conversion"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_arena struct arena *arena = arena_new();
		cleanup_error struct error *err = NULL;
		struct analysis_metric metric = {.metric = names[i]};
		char space[512];
		assert_ok(builtin_metric_fill(builtin_metric_find(names[i]), &metric, arena, &err), err);
		assert_null(source_check(source_find("openmetrics"), &metric, space, sizeof(space)));
		assert_null(source_check(source_find("prometheus"), &metric, space, sizeof(space)));
	}
}

struct told {
	bool called, error;
};

static void tell(void *arg, const struct source_reading *reading, struct error *err)
{
	struct told *told = arg;
	assert_false(told->called);
	assert_true((reading == NULL) != (err == NULL));
	told->called = true;
	told->error = err != NULL;
	if (err) {
		assert_non_null(strstr(error_message(err), "metric source \"name\": "));
	}
}

/* Nobody listens on port 1: every kind must say so, from the loop, once; and must bear to be left in the middle. */
static void whoever_is_not_there_is_an_error_told_once(void **state)
{
	(void)state;
	static const char *const instances[] = {"127.0.0.1:1"};
	const struct source_arm arms[2] = {{.name = "stable", .version = "1", .image = "i", .instances = instances, .n_instances = 1},
					   {.name = "candidate", .version = "2", .image = "j", .instances = instances, .n_instances = 1}};
	const struct source_span span = {.from_ms = 1000, .to_ms = 61000};
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		const struct source_ops *ops = source_find(bodies[i].kind);
		struct diag_list *diags CLEANUP(diag_list_free) = diag_list_new();
		struct yaml_doc *doc CLEANUP(yaml_doc_free) = yaml_parse("f", bodies[i].body, strlen(bodies[i].body), diags);
		struct loop *loop CLEANUP(loop_free) = loop_new();
		cleanup_error struct error *err = NULL;
		struct source *source;
		struct source_watch *watch;
		struct told told = {0};
		assert_true(schema_check(ops->config, yaml_root(doc), diags));
		const struct source_config config = {.name = "name", .body = yaml_root(doc)};
		assert_ok(ops->open(&config, loop, &source, &err), err);
		assert_ok(ops->watch(source, &good[i], &watch, &err), err);
		assert_ptr_equal(source->ops, ops);
		assert_ptr_equal(watch->ops, ops);
		ops->read(watch, arms, &span, tell, &told);
		assert_false(told.called);
		while (loop_turn(loop) && !told.called)
			;
		assert_true(told.called && told.error);
		/* And again, to be dropped. */
		told = (struct told){0};
		ops->read(watch, arms, &span, tell, &told);
		ops->unwatch(watch);
		ops->close(source);
		while (loop_turn(loop))
			;
		assert_false(told.called);
	}
}

static void unknown_keys_of_a_body_are_told(void **state)
{
	(void)state;
	for (const struct source_ops *const *row = source_registry(); *row; row++) {
		struct diag_list *diags CLEANUP(diag_list_free) = diag_list_new();
		struct yaml_doc *doc CLEANUP(yaml_doc_free) = yaml_parse("f", "nonsense: 1", 11, diags);
		assert_false(schema_check((*row)->config, yaml_root(doc), diags));
	}
}

static void categories_are_only_for_distributions(void **state)
{
	(void)state;
	struct loop *loop CLEANUP(loop_free) = loop_new();
	cleanup_error struct error *err = NULL;
	const struct source_ops *ops = source_find("openmetrics");
	const struct analysis_metric drift = {.metric = "d", .kind = METRIC_DISTRIBUTION, .distribution = "x", .by = "class"};
	const struct source_config config = {.name = NULL};
	struct source *source;
	struct source_watch *watch;
	assert_ok(ops->open(&config, loop, &source, &err), err);
	assert_ok(ops->watch(source, &drift, &watch, &err), err);
	cleanup_json json_t *names = json_pack("[ss]", "b", "a");
	assert_ok(source_categories_restore(watch, names, &err), err);
	cleanup_json json_t *kept = source_categories(watch);
	assert_true(json_equal(names, kept));
	ops->unwatch(watch);
	assert_ok(ops->watch(source, &good[0], &watch, &err), err);
	cleanup_json json_t *none = source_categories(watch);
	assert_int_equal(json_array_size(none), 0);
	assert_ok(source_categories_restore(watch, none, &err), err);
	assert_int_equal(source_categories_restore(watch, names, &err), -1);
	assert_error(err, ERROR_INVALID, "categories for a metric that is no distribution");
	ops->unwatch(watch);
	ops->close(source);
}

int main(void)
{
	loop_free(loop_new()); /* what libuv keeps open for good, before descriptors are counted */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_is_documented_and_found),
		cmocka_unit_test(built_in_selectors_suit_the_kinds_that_understand_them),
		cmocka_unit_test_setup_teardown(whoever_is_not_there_is_an_error_told_once, fixture_setup, fixture_teardown),
		cmocka_unit_test(unknown_keys_of_a_body_are_told),
		cmocka_unit_test(categories_are_only_for_distributions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
