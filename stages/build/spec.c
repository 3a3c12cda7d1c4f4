#include "artifacts/layout.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "stages/build/build_priv.h"

static const char *const *strings(const struct yaml_node *node, struct arena *arena)
{
	if (!node)
		return NULL;
	size_t n = node->kind == YAML_SCALAR ? 1 : node->n;
	const char **items = arena_alloc(arena, (n + 1) * sizeof(*items));
	for (size_t i = 0; i < n; i++)
		items[i] = yaml_text(node->kind == YAML_SCALAR ? node : node->values[i], "");
	return items;
}

static const struct image_pair *pairs(const struct yaml_node *node, struct arena *arena, size_t *ret_n)
{
	*ret_n = node ? node->n : 0;
	struct image_pair *items = arena_alloc(arena, (*ret_n + 1) * sizeof(*items));
	for (size_t i = 0; i < *ret_n; i++)
		items[i] = (struct image_pair){node->keys[i]->text, yaml_text(node->values[i], "")};
	return items;
}

static const struct image_layer_spec *layers(const struct yaml_node *node, struct arena *arena)
{
	struct image_layer_spec *items = arena_alloc(arena, (node->n + 1) * sizeof(*items));
	for (size_t i = 0; i < node->n; i++) {
		const struct yaml_node *layer = node->values[i];
		const char *compression = yaml_text(yaml_get(layer, "compression"), "gzip");
		items[i] = (struct image_layer_spec){
			.item = {.from = yaml_text(yaml_get(layer, "from"), ""), .to = yaml_text(yaml_get(layer, "to"), "")},
			.compression = strcmp(compression, "none") == 0 ? COMPRESSION_NONE : COMPRESSION_GZIP,
		};
	}
	return items;
}

void build_spec_read(const struct yaml_node *node, struct arena *arena, struct build_spec *ret)
{
	const struct yaml_node *list = yaml_get(node, "layers");
	int64_t port = 0, created = 0;
	(void)yaml_int(yaml_get(node, "port"), &port); /* They stay 0 where they are not given. */
	(void)yaml_int(yaml_get(node, "created"), &created);
	struct build_spec made = {.image = yaml_text(yaml_get(node, "image"), ""), .version = yaml_text(yaml_get(node, "version"), NULL)};
	const char *slash = strrchr(made.image, '/');
	made.spec = (struct image_spec){
		.host_base = strcmp(yaml_text(yaml_get(node, "base"), ""), "host") == 0,
		.layers = layers(list, arena),
		.n_layers = list->n,
		.entrypoint = strings(yaml_get(node, "entrypoint"), arena),
		.cmd = strings(yaml_get(node, "cmd"), arena),
		.dir = yaml_text(yaml_get(node, "workdir"), NULL),
		.port = (uint16_t)port,
		.created = created,
		.title = yaml_text(yaml_get(node, "title"), slash ? slash + 1 : made.image),
		.revision = yaml_text(yaml_get(node, "revision"), NULL),
	};
	made.spec.env = pairs(yaml_get(node, "env"), arena, &made.spec.n_env);
	made.spec.labels = pairs(yaml_get(node, "labels"), arena, &made.spec.n_labels);
	*ret = made;
}

static void put_string(json_t *object, const char *key, const char *value)
{
	if (value)
		json_object_set_new(object, key, json_string(value));
}

static void put_strings(json_t *object, const char *key, const char *const *items)
{
	if (!items)
		return;
	json_t *array = json_array();
	for (; *items; items++)
		json_array_append_new(array, json_string(*items));
	json_object_set_new(object, key, array);
}

static void put_pairs(json_t *object, const char *key, const struct image_pair *items, size_t n)
{
	if (n == 0)
		return;
	json_t *map = json_object();
	for (size_t i = 0; i < n; i++)
		put_string(map, items[i].name, items[i].value);
	json_object_set_new(object, key, map);
}

json_t *build_spec_json(const struct build_spec *spec)
{
	const struct image_spec *image = &spec->spec;
	json_t *json = json_pack("{s:s, s:s, s:I}", "image", spec->image, "base", image->host_base ? "host" : "none", "created",
				 (json_int_t)image->created);
	json_t *list = json_array();
	for (size_t i = 0; i < image->n_layers; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "from", image->layers[i].item.from, "to", image->layers[i].item.to,
						      "compression", image->layers[i].compression == COMPRESSION_NONE ? "none" : "gzip"));
	json_object_set_new(json, "layers", list);
	put_strings(json, "entrypoint", image->entrypoint);
	put_strings(json, "cmd", image->cmd);
	put_pairs(json, "env", image->env, image->n_env);
	put_pairs(json, "labels", image->labels, image->n_labels);
	put_string(json, "workdir", image->dir);
	put_string(json, "version", spec->version);
	put_string(json, "revision", image->revision);
	put_string(json, "title", image->title);
	if (image->port)
		json_object_set_new(json, "port", json_integer(image->port));
	return json;
}

static const char *version_of_tag(const char *tag, struct arena *arena)
{
	char *version = arena_strndup(arena, tag, 128);
	for (char *c = version; *c; c++) {
		const char one[] = {*c, '\0'};
		if (!layout_tag_is_valid(one) && *c != '.' && *c != '-')
			*c = '-';
	}
	if (version[0] == '.' || version[0] == '-')
		version[0] = '_';
	return version;
}

const char *build_version(const char *tag, int64_t committed_s, uint64_t run_number, struct arena *arena)
{
	if (tag && tag[0])
		return version_of_tag(tag, arena);
	if (committed_s < 0)
		return arena_printf(arena, "%llu", (unsigned long long)run_number);
	char stamp[RFC3339_SIZE];
	clock_rfc3339(committed_s * 1000, stamp);
	return arena_printf(arena, "%.4s.%.2s.%.2s-%llu", stamp, stamp + 5, stamp + 8, (unsigned long long)run_number);
}
