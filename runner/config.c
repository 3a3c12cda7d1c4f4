#include "runner/config.h"

#include "base/alloc.h"
#include "base/file.h"
#include "gates/sources/source.h"

#include <string.h>

#define CONFIG_MAX_BYTES (1024 * 1024)
#define DAY_MS (24ULL * 3600 * 1000)

/* ---- what the file may say ---- */

static const char *const provider_names[] = {"github", "penstock", NULL};
static const char *const forks_names[] = {"approve", "refuse", NULL};
static const struct schema provider_schema = {SCHEMA_ENUM, .choices = provider_names};
static const struct schema forks_schema = {SCHEMA_ENUM, .choices = forks_names};
static const struct schema count_schema = {SCHEMA_INTEGER, .has_min = true, .min = 1, .has_max = true, .max = 4096};
static const struct schema natural_schema = {SCHEMA_INTEGER, .has_min = true, .min = 0, .has_max = true, .max = 4096};
static const struct schema gpus_schema = {SCHEMA_LIST, .item = &natural_schema};

static const struct schema_field limits_fields[] = {
	{"parallel_stages", &count_schema, .doc = "stages that may run at the same time, over all runs", .fallback = "2"},
	{"gpus", &gpus_schema, .doc = "devices that stages may ask for"},
	{.name = NULL},
};
static const struct schema limits_schema = {SCHEMA_STRUCT, .fields = limits_fields};

static const struct schema_field webhook_fields[] = {
	{"provider", &provider_schema, .required = true, .doc = "who signs the deliveries"},
	{"secret", &schema_string, .required = true, .doc = "name of the secret that deliveries are signed with (penstock secret set NAME)"},
	{.name = NULL},
};
static const struct schema webhook_schema = {SCHEMA_STRUCT, .fields = webhook_fields};

static const struct schema_field repository_fields[] = {
	{"url", &schema_string, .required = true, .doc = "where to fetch from: https://, http://, file:// or an absolute path"},
	{"webhook", &webhook_schema, .doc = "how its deliveries are verified; without it none are accepted"},
	{"forks", &forks_schema, .doc = "what to do with pull requests of forks (this build runs none)", .fallback = "refuse"},
	{.name = NULL},
};
static const struct schema repository_schema = {SCHEMA_STRUCT, .fields = repository_fields};
static const struct schema repositories_schema = {SCHEMA_MAP, .key = &schema_name, .item = &repository_schema};

static const struct schema_field allow_fields[] = {
	{"branches", &schema_glob_list, .doc = "branches that may deploy here"},
	{"tags", &schema_glob_list, .doc = "tags that may deploy here"},
	{"approvals", &natural_schema, .doc = "people who must agree", .fallback = "0"},
	{.name = NULL},
};
static const struct schema allow_schema = {SCHEMA_STRUCT, .fields = allow_fields};
static const struct schema target_schema = {SCHEMA_MAP, .key = &schema_name, .item = &schema_any};
static const struct schema sources_schema = {SCHEMA_MAP, .key = &schema_name, .item = &target_schema};
static const struct schema targets_schema = {SCHEMA_MAP, .key = &schema_name, .item = &target_schema};

static const struct schema_field images_fields[] = {
	{"keep", &count_schema, .doc = "newest releases of a repository whose images stay; live ones always do", .fallback = "20"},
	{.name = NULL},
};
static const struct schema images_schema = {SCHEMA_STRUCT, .fields = images_fields};
static const struct schema_field retention_fields[] = {
	{"runs", &schema_duration, .doc = "how long finished runs are remembered", .fallback = "90d"},
	{"logs", &schema_duration, .doc = "how long their logs are", .fallback = "30d"},
	{"images", &images_schema, .doc = "which images are kept"},
	{.name = NULL},
};
static const struct schema retention_schema = {SCHEMA_STRUCT, .fields = retention_fields};

static const struct schema_field config_fields[] = {
	{"listen", &schema_string, .doc = "address and port of webhooks, /healthz and /metrics", .fallback = "127.0.0.1:8080"},
	{"socket", &schema_string, .doc = "Unix socket of the command line", .fallback = "<state>/penstock.sock"},
	{"state", &schema_string, .doc = "folder of the database, logs and images", .fallback = "/var/lib/penstock"},
	{"key_file", &schema_string, .doc = "sealing key of the secrets, outside state", .fallback = "penstock.key beside this file"},
	{"limits", &limits_schema, .doc = "what runs may take together"},
	{"repositories", &repositories_schema, .doc = "whose pushes start runs"},
	{"registries", &schema_any, .doc = "image registries to push to"},
	{"metric_sources", &sources_schema, .doc = "where the analyses of rollouts may read numbers"},
	{"executors", &schema_any, .doc = "where stages run"},
	{"targets", &targets_schema, .doc = "where releases go, and who may send them there"},
	{"retention", &retention_schema, .doc = "what is kept, and for how long"},
	{.name = NULL},
};
static const struct schema config_schema = {SCHEMA_STRUCT, .fields = config_fields};

/* ---- reading ---- */

/* The document lives as long as the configuration: targets borrow their nodes from it. */
struct config_owner {
	struct config config;
	struct yaml_doc *doc;
};

struct reader {
	struct config *config;
	struct arena *arena;
	struct diag_list *diags;
	const char *dir; /* of the file */
};

static struct config *config_new(void)
{
	struct config_owner *owner = xcalloc(1, sizeof(*owner));
	struct config *config = &owner->config;
	config->arena = arena_new();
	config->parallel_stages = 2;
	config->keep_runs_ms = 90 * DAY_MS;
	config->keep_logs_ms = 30 * DAY_MS;
	config->keep_images = 20;
	return config;
}

static const char *absolute(const struct reader *r, const char *path)
{
	return path[0] == '/' ? arena_strdup(r->arena, path) : arena_printf(r->arena, "%s/%s", r->dir, path);
}

static const struct yaml_node *get(const struct yaml_node *node, const char *first, const char *second)
{
	return yaml_get(yaml_get(node, first), second);
}

static void unavailable(const struct reader *r, const struct yaml_node *parent, const char *key, const char *what)
{
	if (yaml_get(parent, key))
		yaml_error(r->diags, yaml_get_key(parent, key), "unsupported", "remove it", "%s: not available in this build", what);
}

/* Whatever a repository's URL is, it never names a program: no ssh, no ext::, no option. */
static bool url_is_allowed(const char *url)
{
	for (const char *p = url; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return false;
	return strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0 || strncmp(url, "file:///", 8) == 0 || url[0] == '/';
}

static void read_url(const struct reader *r, const struct yaml_node *node)
{
	const char *url = yaml_text(node, "");
	if (strncmp(url, "ssh://", 6) == 0 || strncmp(url, "git@", 4) == 0)
		yaml_error(r->diags, node, "unsupported", "use https://, or a path on this machine",
			   "fetching over ssh: not available in this build");
	else if (strstr(url, "://") && memchr(strstr(url, "://") + 3, '@', strcspn(strstr(url, "://") + 3, "/")))
		yaml_error(r->diags, node, "password-in-url", NULL,
			   "the url carries a name or password, which everybody could read in the list of processes");
	else if (!url_is_allowed(url))
		yaml_error(r->diags, node, "bad-url", NULL, "a repository's url is https://, http://, file:// or an absolute path");
}

static void read_repositories(const struct reader *r, const struct yaml_node *node)
{
	if (!node || node->kind != YAML_MAPPING)
		return;
	struct config_repository *list = arena_alloc(r->arena, (node->n + 1) * sizeof(*list));
	for (size_t i = 0; i < node->n; i++) {
		const struct yaml_node *body = node->values[i];
		list[i] = (struct config_repository){
			.name = node->keys[i]->text,
			.url = yaml_text(yaml_get(body, "url"), ""),
			.provider = yaml_text(get(body, "webhook", "provider"), NULL),
			.webhook_secret = yaml_text(get(body, "webhook", "secret"), NULL),
			.forks = yaml_text(yaml_get(body, "forks"), "refuse"),
		};
		if (yaml_get(body, "url"))
			read_url(r, yaml_get(body, "url"));
	}
	r->config->repositories = list;
	r->config->n_repositories = node->n;
}

/* Without `allow` every branch and tag of the repository may deploy; with it, only what it lists. */
static struct globs read_globs(const struct reader *r, const struct yaml_node *allow, const char *key)
{
	static const char *const nothing[] = {"!**", NULL};
	const struct yaml_node *node = yaml_get(allow, key);
	if (!node)
		return allow ? (struct globs){nothing, 1} : (struct globs){NULL, 0};
	size_t n = node->kind == YAML_SEQUENCE ? node->n : 1;
	const char **items = arena_alloc(r->arena, (n + 1) * sizeof(*items));
	for (size_t i = 0; i < n; i++)
		items[i] = node->kind == YAML_SEQUENCE ? yaml_text(node->values[i], "") : yaml_text(node, "");
	return (struct globs){items, n};
}

static void unknown_kind(const struct reader *r, const struct yaml_node *key, const char *const *names, size_t n, const char *what)
{
	const char *nearest = nearest_word(key->text, names, n);
	cleanup_free char *hint = nearest ? xasprintf("did you mean \"%s\"?", nearest) : NULL;
	yaml_error(r->diags, key, "unknown-key", hint, "\"%s\" is no kind of %s", key->text, what);
}

static void unknown_target_kind(const struct reader *r, const struct yaml_node *key)
{
	const char *names[64];
	size_t n = 0;
	names[n++] = "allow";
	for (const struct target_ops *const *ops = target_registry(); *ops && n < ARRAY_SIZE(names); ops++)
		names[n++] = (*ops)->name;
	unknown_kind(r, key, names, n, "target");
}

static void read_target(const struct reader *r, const struct yaml_node *name, const struct yaml_node *node, struct config_target *ret)
{
	*ret = (struct config_target){.name = name->text};
	for (size_t i = 0; i < node->n; i++) {
		const struct yaml_node *key = node->keys[i];
		const struct target_ops *ops = target_find(key->text);
		if (strcmp(key->text, "allow") == 0)
			continue;
		if (!ops) {
			unknown_target_kind(r, key);
		} else if (ret->kind) {
			yaml_error(r->diags, key, "two-kinds", NULL, "target \"%s\" is already of kind \"%s\"", ret->name, ret->kind);
		} else {
			ret->kind = ops->name;
			ret->body = node->values[i];
			schema_check(ops->config, ret->body, r->diags);
		}
	}
	if (!ret->kind && diag_errors(r->diags) == 0)
		yaml_error(r->diags, name, "missing-kind", NULL, "target \"%s\" needs a kind, such as \"process\"", ret->name);
	const struct yaml_node *allow = yaml_get(node, "allow");
	if (allow && !schema_check(&allow_schema, allow, r->diags))
		return;
	ret->allow_branches = read_globs(r, allow, "branches");
	ret->allow_tags = read_globs(r, allow, "tags");
	int64_t approvals = 0;
	if (yaml_int(yaml_get(allow, "approvals"), &approvals) && approvals > 0)
		yaml_error(r->diags, yaml_get(allow, "approvals"), "unsupported", "use 0", "approvals: not available in this build");
	ret->approvals = (unsigned)approvals;
}

static void read_targets(const struct reader *r, const struct yaml_node *node)
{
	if (!node || node->kind != YAML_MAPPING)
		return;
	struct config_target *list = arena_alloc(r->arena, (node->n + 1) * sizeof(*list));
	for (size_t i = 0; i < node->n; i++)
		read_target(r, node->keys[i], node->values[i], &list[i]);
	r->config->targets = list;
	r->config->n_targets = node->n;
}

static void read_source(const struct reader *r, const struct yaml_node *name, const struct yaml_node *node, struct config_source *ret)
{
	const struct source_ops *ops = node->n == 1 ? source_find(node->keys[0]->text) : NULL;
	*ret = (struct config_source){.name = name->text};
	if (strcmp(name->text, SOURCE_APP) == 0) {
		yaml_error(r->diags, name, "reserved-name", "choose another name", "\"%s\" is always the copies' own /metrics", name->text);
	} else if (node->n != 1) {
		yaml_error(r->diags, name, "missing-kind", NULL, "metric source \"%s\" needs exactly one kind, such as \"prometheus\"", name->text);
	} else if (!ops) {
		const char *names[64];
		size_t n = 0;
		for (const struct source_ops *const *row = source_registry(); *row && n < ARRAY_SIZE(names); row++)
			names[n++] = (*row)->name;
		unknown_kind(r, node->keys[0], names, n, "metric source");
	} else {
		ret->kind = ops->name;
		ret->body = node->values[0];
		schema_check(ops->config, ret->body, r->diags);
	}
}

static void read_sources(const struct reader *r, const struct yaml_node *node)
{
	if (!node || node->kind != YAML_MAPPING)
		return;
	struct config_source *list = arena_alloc(r->arena, (node->n + 1) * sizeof(*list));
	for (size_t i = 0; i < node->n; i++)
		read_source(r, node->keys[i], node->values[i], &list[i]);
	r->config->sources = list;
	r->config->n_sources = node->n;
}

static void read_listen(const struct reader *r, const struct yaml_node *node)
{
	const char *text = yaml_text(node, "127.0.0.1:8080"), *colon = strrchr(text, ':');
	char *end = NULL;
	long port = colon && colon[1] >= '0' && colon[1] <= '9' ? strtol(colon + 1, &end, 10) : -1;
	if (!colon || colon == text || port < 0 || port > 65535 || *end)
		yaml_error(r->diags, node, "bad-address", "for example 127.0.0.1:8080", "\"%s\" is not an address and a port", text);
	r->config->listen = arena_strdup(r->arena, text);
}

static void read_unsigned(const struct yaml_node *node, unsigned *ret)
{
	int64_t value;
	if (yaml_int(node, &value))
		*ret = (unsigned)value;
}

static void read_paths(const struct reader *r, const struct yaml_node *root)
{
	struct config *config = r->config;
	config->state = absolute(r, yaml_text(yaml_get(root, "state"), "/var/lib/penstock"));
	const char *socket = yaml_text(yaml_get(root, "socket"), NULL);
	config->socket = socket ? absolute(r, socket) : arena_printf(r->arena, "%s/penstock.sock", config->state);
	config->key_file = absolute(r, yaml_text(yaml_get(root, "key_file"), "penstock.key"));
	size_t len = strlen(config->state);
	if (strncmp(config->key_file, config->state, len) == 0 && config->key_file[len] == '/')
		yaml_error(r->diags, yaml_get(root, "key_file") ? yaml_get(root, "key_file") : root, "key-in-state", NULL,
			   "the sealing key must lie outside the state folder %s, so that a copy of the state opens no secret", config->state);
	if (strlen(config->socket) > 107)
		yaml_error(r->diags, yaml_get(root, "socket") ? yaml_get(root, "socket") : root, "long-socket", "choose a shorter path",
			   "the socket's path %s is longer than the 107 bytes a Unix socket may have", config->socket);
}

static void read_root(const struct reader *r, const struct yaml_node *root)
{
	struct config *config = r->config;
	read_listen(r, yaml_get(root, "listen"));
	read_paths(r, root);
	read_unsigned(get(root, "limits", "parallel_stages"), &config->parallel_stages);
	read_unsigned(get(yaml_get(root, "retention"), "images", "keep"), &config->keep_images);
	yaml_duration_ms(get(root, "retention", "runs"), &config->keep_runs_ms);
	yaml_duration_ms(get(root, "retention", "logs"), &config->keep_logs_ms);
	const struct yaml_node *gpus = get(root, "limits", "gpus");
	if (gpus && gpus->n > 0)
		unavailable(r, yaml_get(root, "limits"), "gpus", "GPUs");
	unavailable(r, root, "registries", "pushing to registries");
	unavailable(r, root, "executors", "executors other than this machine");
	read_repositories(r, yaml_get(root, "repositories"));
	read_targets(r, yaml_get(root, "targets"));
	read_sources(r, yaml_get(root, "metric_sources"));
}

static char *folder_of(const char *file)
{
	cleanup_free char *here = file[0] == '/' ? NULL : getcwd(NULL, 0);
	const char *slash = strrchr(file, '/');
	if (!slash)
		return xstrdup(here ? here : ".");
	cleanup_free char *dir = xstrndup(file, slash == file ? 1 : (size_t)(slash - file));
	return here ? path_join(here, dir) : STEAL(dir);
}

struct config *config_parse(const char *file, const char *text, size_t len, struct diag_list *diags)
{
	struct yaml_doc *doc = yaml_parse(file, text, len, diags);
	if (!doc)
		return NULL;
	struct config *config = config_new();
	((struct config_owner *)config)->doc = doc;
	config->file = arena_strdup(config->arena, file);
	cleanup_free char *dir = folder_of(file);
	const struct reader reader = {.config = config, .arena = config->arena, .diags = diags, .dir = dir};
	/* Only a well-formed file is read further: the second look finds what a schema cannot say. */
	const struct yaml_node *root = yaml_root(doc);
	if (diag_errors(diags) == 0 && (root->kind == YAML_NULL || schema_check(&config_schema, root, diags)))
		read_root(&reader, root);
	if (diag_errors(diags) > 0) {
		config_free(config);
		return NULL;
	}
	return config;
}

int config_read(const char *file, struct config **ret, struct error **err)
{
	cleanup_free char *text = NULL;
	size_t len;
	if (file_read(file, CONFIG_MAX_BYTES, &text, &len, err) < 0)
		return error_context(err, "configuration");
	cleanup_diags struct diag_list *diags = diag_list_new();
	struct config *config = config_parse(file, text, len, diags);
	if (!config) {
		cleanup_buf struct buf b;
		buf_init(&b, CONFIG_MAX_BYTES);
		diag_print(diags, text, false, &b);
		return error_set(err, ERROR_INVALID, 0, "%s", b.data);
	}
	*ret = config;
	return 0;
}

struct config *config_local(const char *state_dir)
{
	struct config *config = config_new();
	config->file = "";
	config->listen = "";
	config->state = arena_strdup(config->arena, state_dir);
	config->socket = arena_printf(config->arena, "%s/penstock.sock", state_dir);
	config->key_file = arena_printf(config->arena, "%s.key", state_dir);
	return config;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	struct config_owner *owner = (struct config_owner *)config;
	arena_free(config->arena);
	yaml_doc_free(owner->doc);
	free(owner);
}

const struct config_repository *config_repository(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_repositories; i++)
		if (strcmp(config->repositories[i].name, name) == 0)
			return &config->repositories[i];
	return NULL;
}

const struct config_source *config_source(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_sources; i++)
		if (strcmp(config->sources[i].name, name) == 0)
			return &config->sources[i];
	return NULL;
}

const struct config_target *config_target(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_targets; i++)
		if (strcmp(config->targets[i].name, name) == 0)
			return &config->targets[i];
	return NULL;
}
