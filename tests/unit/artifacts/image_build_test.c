#include "artifacts/image_build.h"

#include "artifacts/capture.h"
#include "tests/unit/artifacts/oci_fixture.h"

static const struct image_layer_spec layers[] = {
	{.item = {.from = "model/", .to = "/app/model/"}, .compression = COMPRESSION_NONE},
	{.item = {.from = "src/serve.py", .to = "/app/"}},
};
static const char *const entrypoint[] = {"python3", "/app/serve.py", NULL};
static const struct image_pair env[] = {{"MODE", "serve"}};
static const struct image_pair labels[] = {{"team", "fraud"}, {"io.penstock.base", "none"}};
static const struct image_spec spec = {
	.host_base = true,
	.layers = layers,
	.n_layers = ARRAY_SIZE(layers),
	.entrypoint = entrypoint,
	.env = env,
	.n_env = ARRAY_SIZE(env),
	.labels = labels,
	.n_labels = ARRAY_SIZE(labels),
	.dir = "/app",
	.port = 8080,
	.created = 1763934674,
	.title = "fraud",
	.version = "2025.11.23-12",
	.revision = "0123456789abcdef0123456789abcdef01234567",
};

static void write_context(const struct fixture *fixture)
{
	free(fixture_write(fixture, "ctx/model/weights.json", "{\"w\": [1, 2, 3]}"));
	free(fixture_write(fixture, "ctx/model/na\xc3\xafve/deep", "x"));
	cleanup_free char *serve = fixture_write(fixture, "ctx/src/serve.py", "print('hello')\n");
	assert_int_equal(chmod(serve, 0700), 0);
}

static void build(const struct fixture *fixture, const char *layout_name, struct image_result *ret)
{
	cleanup_free char *context = path_join(fixture->dir, "ctx");
	cleanup_free char *layout = path_join(fixture->dir, layout_name);
	cleanup_error struct error *err = NULL;
	assert_ok(image_build(&spec, context, layout, "image", ret, &err), err);
}

static void skopeo_reads_what_we_build(void **state)
{
	const struct fixture *fixture = *state;
	struct image_result result;
	write_context(fixture);
	build(fixture, "layout", &result);
	cleanup_free char *name = xasprintf("oci:%s/layout:image", fixture->dir);
	cleanup_free char *text = run_tool("skopeo", (const char *[]){"skopeo", "inspect", name, NULL});
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *json = NULL;
	assert_ok(json_parse(text, strlen(text), &json, &err), err);
	assert_string_equal(json_string_or(json, "Digest", ""), result.manifest.digest);
	assert_string_equal(json_string_or(json, "Created", ""), "2025-11-23T21:51:14Z");
	const json_t *found = json_object_get(json, "Labels");
	assert_string_equal(json_string_or(found, "io.penstock.base", ""), "host");
	assert_string_equal(json_string_or(found, "team", ""), "fraud");
	assert_string_equal(json_string_or(found, "org.opencontainers.image.version", ""), "2025.11.23-12");
	assert_string_equal(json_string_or(found, "org.opencontainers.image.revision", ""), spec.revision);
	assert_string_equal(json_string_or(found, "org.opencontainers.image.title", ""), "fraud");
	assert_string_equal(json_string_value(json_array_get(json_object_get(json, "Layers"), 1)), result.layers[1].blob.digest);
	/* A copy reads every blob and compares every digest, diff_ids included. */
	cleanup_free char *to = xasprintf("dir:%s/copy", fixture->dir);
	free(run_tool("skopeo", (const char *[]){"skopeo", "--insecure-policy", "copy", name, to, NULL}));
}

static void umoci_unpacks_what_we_build(void **state)
{
	const struct fixture *fixture = *state;
	struct image_result result;
	write_context(fixture);
	build(fixture, "layout", &result);
	cleanup_free char *name = xasprintf("%s/layout:image", fixture->dir);
	cleanup_free char *bundle = path_join(fixture->dir, "bundle");
	free(run_tool("umoci", (const char *[]){"umoci", "unpack", "--rootless", "--image", name, bundle, NULL}));
	assert_file(bundle, "rootfs/app/model/weights.json", "{\"w\": [1, 2, 3]}");
	assert_file(bundle, "rootfs/app/model/na\xc3\xafve/deep", "x");
	assert_file(bundle, "rootfs/app/serve.py", "print('hello')\n");
	assert_int_equal(mode_of(bundle, "rootfs/app/serve.py"), S_IFREG | 0755);
	/* And so do we, alike. */
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_free char *rootfs = path_join(fixture->dir, "rootfs");
	cleanup_free char *theirs = path_join(bundle, "rootfs");
	cleanup_error struct error *err = NULL;
	assert_ok(image_unpack(layout, result.manifest.digest, rootfs, &err), err);
	free(run_tool("diffutils", (const char *[]){"diff", "-r", rootfs, theirs, NULL}));
	assert_int_equal(mode_of(rootfs, "app/serve.py"), S_IFREG | 0755);
	assert_int_equal(mode_of(rootfs, "app/model/weights.json"), S_IFREG | 0644);
}

static void a_second_build_is_the_same_byte_by_byte(void **state)
{
	const struct fixture *fixture = *state;
	struct image_result first, second;
	write_context(fixture);
	build(fixture, "one", &first);
	cleanup_free char *context = path_join(fixture->dir, "ctx");
	cleanup_error struct error *err = NULL;
	assert_ok(tree_remove(context, &err), err);
	mode_t before = umask(077);
	write_context(fixture);
	build(fixture, "two", &second);
	umask(before);
	assert_string_equal(first.manifest.digest, second.manifest.digest);
	assert_true(first.size == second.size);
	cleanup_free char *one = path_join(fixture->dir, "one");
	cleanup_free char *two = path_join(fixture->dir, "two");
	free(run_tool("diffutils", (const char *[]){"diff", "-r", one, two, NULL}));
}

static void the_config_tells_a_target_how_to_run_it(void **state)
{
	const struct fixture *fixture = *state;
	struct image_result result;
	write_context(fixture);
	build(fixture, "layout", &result);
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_error struct error *err = NULL;
	struct image_config config;
	assert_ok(image_config_read(layout, result.manifest.digest, &config, &err), err);
	assert_string_equal(config.entrypoint[0], "python3");
	assert_string_equal(config.entrypoint[1], "/app/serve.py");
	assert_null(config.entrypoint[2]);
	assert_string_equal(config.env[0], "MODE=serve");
	assert_null(config.env[1]);
	assert_string_equal(config.dir, "/app");
	assert_int_equal(config.port, 8080);
	assert_true(config.host_base);
	image_config_done(&config);
}

static void a_missing_file_is_told_with_its_layer(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_error struct error *err = NULL;
	struct image_result result;
	assert_int_equal(image_build(&spec, fixture->dir, layout, "image", &result, &err), -1);
	assert_error(err, ERROR_NOT_FOUND, "layer 1 (from model/ to /app/model/): model/ does not exist");
}

static void a_damaged_config_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	struct image_result result;
	write_context(fixture);
	build(fixture, "layout", &result);
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_free char *blob = layout_blob_path(layout, result.manifest.digest);
	cleanup_error struct error *err = NULL;
	assert_ok(file_write_atomic(blob, "{}", 2, 0644, &err), err);
	struct image_config config;
	assert_int_equal(image_config_read(layout, result.manifest.digest, &config, &err), -1);
	cleanup_free char *text =
		xasprintf("image %s: blob %s is damaged: its contents have the digest "
			  "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
			  result.manifest.digest, result.manifest.digest);
	assert_error(err, ERROR_INVALID, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(skopeo_reads_what_we_build, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(umoci_unpacks_what_we_build, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_second_build_is_the_same_byte_by_byte, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(the_config_tells_a_target_how_to_run_it, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_missing_file_is_told_with_its_layer, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_damaged_config_is_refused, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, first_child, NULL);
}
