#include "artifacts/layout.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define LAYOUT_VERSION "1.0.0"

const char *digest_hex(const char *digest)
{
	return digest + sizeof("sha256:") - 1;
}

char *layout_blob_path(const char *layout, const char *digest)
{
	return xasprintf("%s/blobs/sha256/%s", layout, digest_hex(digest));
}

bool layout_tag_is_valid(const char *tag)
{
	size_t len = strlen(tag);
	if (len == 0 || len > 128 || tag[0] == '.' || tag[0] == '-')
		return false;
	return strspn(tag, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

int layout_open(const char *layout, struct error **err)
{
	int fd = open(layout, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno == ENOENT || errno == ENOTDIR ? ERROR_NOT_FOUND : ERROR_IO, errno, "cannot open image layout %s",
				 layout);
	return fd;
}

/* Reads an open file of a known size; it may not change under us. */
static int read_whole(int fd, size_t size, const char *path, char **ret_text, struct error **err)
{
	cleanup_free char *text = xmalloc(size + 1);
	size_t have = 0;
	while (have < size) {
		ssize_t n = read(fd, text + have, size - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, ERROR_IO, errno, "cannot read %s", path);
		if (n == 0)
			return error_set(err, ERROR_INVALID, 0, "%s became shorter while it was being read", path);
		have += (size_t)n;
	}
	text[have] = '\0';
	*ret_text = STEAL(text);
	return 0;
}

int layout_read(int layout_fd, const char *path, size_t max_bytes, char **ret_text, size_t *ret_len, struct error **err)
{
	/* O_NONBLOCK, since a FIFO in place of a file would hold us for ever. */
	cleanup_fd int fd = file_open_beneath(layout_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);
	if (fd < 0)
		return -1;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(err, ERROR_IO, errno, "cannot read %s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_INVALID, 0, "%s is no regular file", path);
	if ((uintmax_t)st.st_size > max_bytes)
		return error_set(err, ERROR_TOO_LARGE, 0, "%s is larger than %zu bytes", path, max_bytes);
	if (read_whole(fd, (size_t)st.st_size, path, ret_text, err) < 0)
		return -1;
	*ret_len = (size_t)st.st_size;
	return 0;
}

int layout_read_json(int layout_fd, const char *digest, json_t **ret, struct error **err)
{
	if (!digest_is_valid(digest))
		return error_set(err, ERROR_INVALID, 0, "\"%s\" is no digest (sha256: and 64 hexadecimal digits)", digest);
	cleanup_free char *path = xasprintf("blobs/sha256/%s", digest_hex(digest));
	cleanup_free char *text = NULL;
	size_t len;
	if (layout_read(layout_fd, path, OCI_MANIFEST_MAX, &text, &len, err) < 0)
		return -1;
	char found[DIGEST_SIZE];
	digest_of_bytes(text, len, found);
	if (strcmp(found, digest) != 0)
		return error_set(err, ERROR_INVALID, 0, "blob %s is damaged: its contents have the digest %s", digest, found);
	cleanup_json json_t *json = NULL;
	if (json_parse(text, len, &json, err) < 0)
		return error_context(err, "blob %s", digest);
	if (!json_is_object(json))
		return error_set(err, ERROR_INVALID, 0, "blob %s: expected a JSON object", digest);
	*ret = STEAL(json);
	return 0;
}

int layout_read_index(int layout_fd, json_t **ret, struct error **err)
{
	cleanup_free char *text = NULL;
	size_t len;
	if (layout_read(layout_fd, "index.json", OCI_MANIFEST_MAX, &text, &len, err) < 0)
		return -1;
	cleanup_json json_t *index = NULL;
	if (json_parse(text, len, &index, err) < 0)
		return error_context(err, "index.json");
	if (!json_is_array(json_object_get(index, "manifests")))
		return error_set(err, ERROR_INVALID, 0, "index.json: key \"manifests\": expected an array");
	*ret = STEAL(index);
	return 0;
}

/* Position of the entry with that tag among `manifests`, or their number. */
static size_t tag_position(const json_t *manifests, const char *tag)
{
	size_t i = 0;
	for (; i < json_array_size(manifests); i++) {
		const json_t *annotations = json_object_get(json_array_get(manifests, i), "annotations");
		const char *name = json_string_value(json_object_get(annotations, OCI_REF_NAME));
		if (name && strcmp(name, tag) == 0)
			break;
	}
	return i;
}

int layout_find_tag(int layout_fd, const char *tag, char ret[DIGEST_SIZE], struct error **err)
{
	cleanup_json json_t *index = NULL;
	if (layout_read_index(layout_fd, &index, err) < 0)
		return -1;
	const json_t *manifests = json_object_get(index, "manifests");
	const json_t *entry = json_array_get(manifests, tag_position(manifests, tag));
	if (!entry)
		return error_set(err, ERROR_NOT_FOUND, 0, "index.json has no manifest named \"%s\"", tag);
	const char *digest;
	if (json_need_string(entry, "digest", &digest, err) < 0)
		return error_context(err, "index.json: manifest \"%s\"", tag);
	if (!digest_is_valid(digest))
		return error_set(err, ERROR_INVALID, 0, "index.json: manifest \"%s\": \"%s\" is no sha256 digest", tag, digest);
	snprintf(ret, DIGEST_SIZE, "%s", digest);
	return 0;
}

int layout_write_index(const char *layout, json_t *manifests, struct error **err)
{
	cleanup_json json_t *index = json_pack("{s:i, s:s, s:O}", "schemaVersion", 2, "mediaType", OCI_INDEX, "manifests", manifests);
	cleanup_free char *text = json_text(index);
	cleanup_free char *path = path_join(layout, "index.json");
	return file_write_atomic(path, text, strlen(text), 0644, err);
}

int layout_set_tag(const char *layout, const char *tag, const struct oci_descriptor *manifest, struct error **err)
{
	if (!layout_tag_is_valid(tag))
		return error_set(err, ERROR_INVALID, 0, "\"%s\" is no tag: letters, digits, \"_\", \".\" and \"-\", at most 128", tag);
	cleanup_fd int fd = layout_open(layout, err);
	cleanup_json json_t *index = NULL;
	if (fd < 0 || layout_read_index(fd, &index, err) < 0)
		return -1;
	json_t *manifests = json_object_get(index, "manifests");
	size_t position = tag_position(manifests, tag);
	if (position < json_array_size(manifests))
		json_array_remove(manifests, position);
	if (manifest) {
		json_t *entry = descriptor_json(manifest);
		json_object_set_new(entry, "annotations", json_pack("{s:s}", OCI_REF_NAME, tag));
		json_array_append_new(manifests, entry);
	}
	return layout_write_index(layout, manifests, err);
}

static int check_version(const char *path, struct error **err)
{
	cleanup_json json_t *json = NULL;
	if (json_read(path, 4096, &json, err) < 0)
		return -1;
	const char *version = json_string_or(json, "imageLayoutVersion", "");
	if (strncmp(version, "1.", 2) != 0)
		return error_set(err, ERROR_UNSUPPORTED, 0, "%s: image layout version \"%s\" is not available in this build (1.x is)", path,
				 version);
	return 0;
}

int layout_make(const char *path, struct error **err)
{
	cleanup_free char *blobs = path_join(path, "blobs/sha256");
	cleanup_free char *marker = path_join(path, "oci-layout");
	cleanup_free char *index = path_join(path, "index.json");
	if (dir_make(blobs, 0755, err) < 0)
		return -1;
	if (!path_exists(index)) {
		cleanup_json json_t *none = json_array();
		if (layout_write_index(path, none, err) < 0)
			return -1;
	}
	/* Last, so that what calls itself a layout is one. */
	static const char version[] = "{\"imageLayoutVersion\":\"" LAYOUT_VERSION "\"}";
	if (path_exists(marker))
		return check_version(marker, err);
	return file_write_atomic(marker, version, sizeof(version) - 1, 0644, err);
}

static int visit(const json_t *descriptor, bool is_manifest, reference_fn fn, void *arg, struct error **err)
{
	const char *digest;
	int64_t size;
	if (json_need_string(descriptor, "digest", &digest, err) < 0 || json_need_int(descriptor, "size", &size, err) < 0)
		return error_context(err, "reference");
	if (!digest_is_valid(digest) || size < 0)
		return error_set(err, ERROR_INVALID, 0, "reference to \"%s\" of %lld bytes is malformed (sha256 digests only)", digest,
				 (long long)size);
	return fn(arg, digest, (uint64_t)size, is_manifest, err);
}

static int visit_all(const json_t *list, bool are_manifests, reference_fn fn, void *arg, struct error **err)
{
	if (list && !json_is_array(list))
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected an array", are_manifests ? "manifests" : "layers");
	for (size_t i = 0; i < json_array_size(list); i++)
		if (visit(json_array_get(list, i), are_manifests, fn, arg, err) < 0)
			return -1;
	return 0;
}

int manifest_references(const json_t *manifest, reference_fn fn, void *arg, struct error **err)
{
	const json_t *config = json_object_get(manifest, "config");
	if (config && visit(config, false, fn, arg, err) < 0)
		return -1;
	if (visit_all(json_object_get(manifest, "layers"), false, fn, arg, err) < 0)
		return -1;
	return visit_all(json_object_get(manifest, "manifests"), true, fn, arg, err);
}

json_t *descriptor_json(const struct oci_descriptor *descriptor)
{
	return json_pack("{s:s, s:s, s:I}", "mediaType", descriptor->media_type, "digest", descriptor->digest, "size",
			 (json_int_t)descriptor->size);
}

int layout_put_json(const char *layout, const json_t *json, const char *media_type, struct oci_descriptor *ret, struct error **err)
{
	cleanup_free char *text = json_text(json);
	cleanup_blob struct blob_writer *blob = NULL;
	struct oci_descriptor made = {.media_type = media_type};
	if (blob_writer_new(layout, &blob, err) < 0 || blob_write(blob, text, strlen(text), err) < 0 ||
	    blob_commit(blob, made.digest, &made.size, err) < 0)
		return -1;
	*ret = made;
	return 0;
}
