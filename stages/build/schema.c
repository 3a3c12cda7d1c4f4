#include "stages/build/build_priv.h"

#include "artifacts/layout.h"
#include "base/alloc.h"

#include <ctype.h>

static const char *const compressions[] = {"gzip", "none", NULL};
static const char *const sbom_formats[] = {"cyclonedx", "spdx", "none", NULL};
static const struct schema compression_schema = {SCHEMA_ENUM, .choices = compressions};
static const struct schema sbom_schema = {SCHEMA_ENUM, .choices = sbom_formats};
static const struct schema port_schema = {SCHEMA_INTEGER, .has_min = true, .min = 1, .has_max = true, .max = 65535};
static const struct schema created_schema = {SCHEMA_INTEGER, .has_min = true, .min = 0, .has_max = true, .max = 253402300799.0};

static const struct schema_field layer_fields[] = {
	{"from", &schema_path, .required = true, .doc = "file or directory of the workspace; \"model/\" with a slash means its contents"},
	{"to", &schema_string, .required = true, .doc = "absolute path in the image; with a slash at the end, the directory to put it into"},
	{"compression", &compression_schema, .doc = "gzip, or none for weights that do not compress", .fallback = "gzip"},
	{.name = NULL},
};

static void check_layer(const struct yaml_node *layer, struct diag_list *diags)
{
	const struct yaml_node *to = yaml_get(layer, "to");
	if (!pack_target_is_valid(to->text))
		yaml_error(diags, to, "bad-path", NULL, "\"to\" must be an absolute path without \"..\", such as /app/model/, not \"%s\"",
			   to->text);
}

static const struct schema layer_schema = {SCHEMA_STRUCT, .fields = layer_fields, .check = check_layer};
static const struct schema layers_schema = {
	SCHEMA_LIST, .item = &layer_schema, .has_min = true, .min = 1, .has_max = true, .max = IMAGE_MAX_LAYERS};

#define BODY_FIELDS                                                                                                                        \
	{"image", &schema_string, .required = true, .doc = "name of the image, without a tag: registry.local/fraud"},                      \
	{"base", &schema_string, .required = true,                                                                                         \
	 .doc = "host (runs on the machine's own /usr; process targets only), none (self-contained files), or name@sha256:..."},           \
	{"layers", &layers_schema, .required = true, .doc = "what goes in; one layer each, in this order"},                                \
	{"entrypoint", &schema_string_list, .doc = "program and arguments that serve the model"},                                          \
	{"cmd", &schema_string_list, .doc = "more arguments, which a user of the image may replace"},                                      \
	{"env", &schema_string_map, .doc = "environment of the program"},                                                                  \
	{"workdir", &schema_string, .doc = "its working directory, absolute"},                                                             \
	{"port", &port_schema, .doc = "the port that it serves on"},                                                                       \
	{"labels", &schema_string_map, .doc = "more labels of the image"},                                                                 \
	{"version", &schema_string, .doc = "auto: the tag, else calendar version and run number", .fallback = "auto"},                     \
	{"sbom", &sbom_schema, .doc = "format of the list of parts", .fallback = "none"},                                                  \
	{"sign", &schema_bool, .doc = "sign the image", .fallback = "false"},                                                              \
	{"push", &schema_bool, .doc = "push the image to its registry", .fallback = "false"}

static const struct schema_field body_fields[] = {BODY_FIELDS, {.name = NULL}};
static const struct schema_field spec_fields[] = {
	BODY_FIELDS,
	{"revision", &schema_string, .doc = "the commit, for the label org.opencontainers.image.revision"},
	{"title", &schema_string, .doc = "for the label org.opencontainers.image.title; the image's last name"},
	{"created", &created_schema, .doc = "the image's time in seconds since 1970", .fallback = "0"},
	{.name = NULL},
};

/* One part of an image's name: letters and digits, single separators between them. */
static bool is_component(const char *part, size_t len)
{
	if (len == 0 || !isalnum((unsigned char)part[0]) || !isalnum((unsigned char)part[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!islower((unsigned char)part[i]) && !isdigit((unsigned char)part[i]) && !strchr("._-", part[i]))
			return false;
	return true;
}

/* "host:5000" before the first slash. */
static bool is_host(const char *part, size_t len)
{
	const char *colon = memchr(part, ':', len);
	size_t name = colon ? (size_t)(colon - part) : len;
	if (colon && (name + 1 == len || strspn(colon + 1, "0123456789") != len - name - 1))
		return false;
	for (size_t i = 0; i < name; i++)
		if (!isalnum((unsigned char)part[i]) && !strchr(".-", part[i]))
			return false;
	return name > 0 && part[0] != '-' && part[0] != '.';
}

static bool is_image_name(const char *name)
{
	size_t whole = strlen(name), len = strcspn(name, "/");
	if (whole == 0 || whole > 255)
		return false;
	if (name[len] == '/' && is_host(name, len))
		name += len + 1;
	for (;; name += len + 1) {
		len = strcspn(name, "/");
		if (!is_component(name, len))
			return false;
		if (!name[len])
			return true;
	}
}

static bool is_env_name(const char *name)
{
	if (!isalpha((unsigned char)name[0]) && name[0] != '_')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '_')
			return false;
	return true;
}

static void check_names(const struct yaml_node *body, struct diag_list *diags)
{
	const struct yaml_node *image = yaml_get(body, "image"), *version = yaml_get(body, "version"), *env = yaml_get(body, "env");
	const struct yaml_node *dir = yaml_get(body, "workdir");
	if (!is_image_name(image->text))
		yaml_error(diags, image, "bad-name", strpbrk(image->text, ":@") ? "the tag comes from \"version\"" : NULL,
			   "\"image\" must be a name such as registry.local/fraud, in lower case and without a tag, not \"%s\"", image->text);
	if (version && !layout_tag_is_valid(version->text))
		yaml_error(diags, version, "bad-version", NULL,
			   "\"version\" must be letters, digits, \"_\", \".\" and \"-\", at most 128, not \"%s\"", version->text);
	if (dir && dir->text[0] != '/')
		yaml_error(diags, dir, "bad-path", NULL, "\"workdir\" must be an absolute path, not \"%s\"", dir->text);
	for (size_t i = 0; env && i < env->n; i++)
		if (!is_env_name(env->keys[i]->text))
			yaml_error(diags, env->keys[i], "bad-name", NULL, "\"%s\" is no name of an environment variable", env->keys[i]->text);
}

/* What the language knows and this build does not do. */
static void check_available(const struct yaml_node *body, struct diag_list *diags)
{
	const struct yaml_node *base = yaml_get(body, "base"), *sbom = yaml_get(body, "sbom");
	const char *at = strstr(base->text, "@sha256:");
	if (at && digest_is_valid(at + 1))
		yaml_error(diags, base, "unsupported", "use host or none", "a base image pulled from a registry is not available in this build");
	else if (strcmp(base->text, "host") != 0 && strcmp(base->text, "none") != 0)
		yaml_error(diags, base, "unknown-value", NULL, "\"base\" must be host, none or name@sha256:<64 digits>, not \"%s\"", base->text);
	if (sbom && strcmp(sbom->text, "none") != 0)
		yaml_error(diags, sbom, "unsupported", NULL, "\"sbom\" is not available in this build");
	static const char *const flags[] = {"sign", "push"};
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const struct yaml_node *flag = yaml_get(body, flags[i]);
		bool on = false;
		if (yaml_bool(flag, &on) && on)
			yaml_error(diags, flag, "unsupported", NULL, "\"%s\" is not available in this build", flags[i]);
	}
}

static void check_body(const struct yaml_node *body, struct diag_list *diags)
{
	check_names(body, diags);
	check_available(body, diags);
}

const struct schema build_body_schema = {SCHEMA_STRUCT, .doc = "an OCI image from files of the workspace", .fields = body_fields, .check = check_body};
const struct schema build_spec_schema = {SCHEMA_STRUCT, .doc = "what `penstock build` reads", .fields = spec_fields, .check = check_body};
