#include "artifacts/tar_write.h"

#include "base/buf.h"

#include <assert.h>

enum { BLOCK = 512 };
#define USTAR_SIZE_MAX 077777777777ULL /* eleven octal digits: 8 GiB - 1 */
#define PAX_MAX ((size_t)64 * 1024)

struct ustar {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, linkname[100], magic[6], version[2], uname[32],
		gname[32], devmajor[8], devminor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct ustar) == BLOCK, "a ustar header is one block");

static void octal(char *field, size_t size, uint64_t value)
{
	field[size - 1] = '\0';
	for (size_t i = size - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
}

/* Fields need no NUL when they are full. */
static void text_field(char *field, size_t size, const char *text, size_t len)
{
	if (len > size) /* In every build: it would write past the header. */
		abort();
	memcpy(field, text, len);
}

static void seal(struct ustar *header)
{
	unsigned sum = 0;
	memset(header->checksum, ' ', sizeof(header->checksum));
	for (size_t i = 0; i < BLOCK; i++)
		sum += ((const unsigned char *)header)[i];
	octal(header->checksum, 7, sum);
}

static void header_init(struct ustar *header, char type, unsigned mode, uint64_t size)
{
	*header = (struct ustar){.type = type, .magic = "ustar", .version = {'0', '0'}};
	octal(header->mode, sizeof(header->mode), mode);
	octal(header->uid, sizeof(header->uid), 0);
	octal(header->gid, sizeof(header->gid), 0);
	octal(header->size, sizeof(header->size), size);
	octal(header->mtime, sizeof(header->mtime), 0);
	octal(header->devmajor, sizeof(header->devmajor), 0);
	octal(header->devminor, sizeof(header->devminor), 0);
}

/* Puts the path into name, or prefix and name; false if ustar has no place for it. */
static bool place_path(struct ustar *header, const char *path)
{
	size_t len = strlen(path);
	if (len <= sizeof(header->name)) {
		text_field(header->name, sizeof(header->name), path, len);
		return true;
	}
	/* The first slash that leaves at most 100 bytes after it gives the shortest prefix. */
	const char *slash = strchr(path + len - sizeof(header->name) - 1, '/');
	size_t prefix = slash ? (size_t)(slash - path) : 0;
	if (prefix == 0 || prefix > sizeof(header->prefix) || !slash[1])
		return false;
	text_field(header->prefix, sizeof(header->prefix), path, prefix);
	text_field(header->name, sizeof(header->name), slash + 1, len - prefix - 1);
	return true;
}

static size_t digits(size_t number)
{
	size_t n = 1;
	for (; number >= 10; number /= 10)
		n++;
	return n;
}

/* "<length> <key>=<value>\n", where the length counts its own digits. */
static void pax_record(struct buf *records, const char *key, const char *value)
{
	size_t rest = strlen(key) + strlen(value) + 3, len = rest + digits(rest);
	len = rest + digits(len);
	buf_addf(records, "%zu %s=%s\n", len, key, value);
}

static bool is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text >= 0x80)
			return false;
	return true;
}

static int write_zeros(struct tar_writer *tar, size_t len, struct error **err)
{
	static const char zeros[2 * BLOCK];
	assert(len <= sizeof(zeros));
	return len ? tar->write(tar->arg, zeros, len, err) : 0;
}

static unsigned padding_of(uint64_t size)
{
	return (unsigned)(-size & (BLOCK - 1));
}

/* The records for what does not fit, as an entry of type x before the real one. */
static int write_pax(struct tar_writer *tar, const struct tar_entry *entry, bool path, bool target, bool size, struct error **err)
{
	cleanup_buf struct buf records;
	buf_init(&records, PAX_MAX);
	/* Without this readers may take the bytes for UTF-8 and convert them, or fail in a C locale. */
	if ((path && !is_ascii(entry->path)) || (target && !is_ascii(entry->target)))
		pax_record(&records, "hdrcharset", "BINARY");
	if (target)
		pax_record(&records, "linkpath", entry->target);
	if (path)
		pax_record(&records, "path", entry->path);
	if (size) {
		char number[24];
		snprintf(number, sizeof(number), "%llu", (unsigned long long)entry->size);
		pax_record(&records, "size", number);
	}
	if (records.failed)
		return error_set(err, ERROR_TOO_LARGE, 0, "the name of %.200s... is too long for an archive", entry->path);
	struct ustar header;
	header_init(&header, 'x', 0644, records.len);
	text_field(header.name, sizeof(header.name), "PaxHeaders/entry", strlen("PaxHeaders/entry"));
	seal(&header);
	if (tar->write(tar->arg, &header, sizeof(header), err) < 0 || tar->write(tar->arg, records.data, records.len, err) < 0)
		return -1;
	return write_zeros(tar, padding_of(records.len), err);
}

int tar_begin(struct tar_writer *tar, const struct tar_entry *entry, struct error **err)
{
	static const char types[] = {[TAR_FILE] = '0', [TAR_DIRECTORY] = '5', [TAR_SYMLINK] = '2'};
	static const unsigned modes[] = {[TAR_FILE] = 0644, [TAR_DIRECTORY] = 0755, [TAR_SYMLINK] = 0777};
	assert(tar->left == 0);
	uint64_t size = entry->type == TAR_FILE ? entry->size : 0;
	unsigned mode = entry->type == TAR_FILE && entry->executable ? 0755 : modes[entry->type];
	bool big = size > USTAR_SIZE_MAX;
	struct ustar header;
	header_init(&header, types[entry->type], mode, big ? 0 : size);
	bool long_path = !place_path(&header, entry->path);
	if (long_path) /* For readers without pax: the beginning of the name. */
		text_field(header.name, sizeof(header.name), entry->path, sizeof(header.name));
	size_t target_len = entry->type == TAR_SYMLINK ? strlen(entry->target) : 0;
	bool long_target = target_len > sizeof(header.linkname);
	if (target_len)
		text_field(header.linkname, sizeof(header.linkname), entry->target, long_target ? sizeof(header.linkname) : target_len);
	seal(&header);
	if ((long_path || long_target || big) && write_pax(tar, entry, long_path, long_target, big, err) < 0)
		return -1;
	tar->left = size;
	tar->padding = padding_of(size);
	return tar->write(tar->arg, &header, sizeof(header), err);
}

int tar_data(struct tar_writer *tar, const void *bytes, size_t len, struct error **err)
{
	assert(len <= tar->left);
	if (tar->write(tar->arg, bytes, len, err) < 0)
		return -1;
	tar->left -= len;
	return tar->left == 0 ? write_zeros(tar, tar->padding, err) : 0;
}

int tar_finish(struct tar_writer *tar, struct error **err)
{
	assert(tar->left == 0);
	return write_zeros(tar, (size_t)2 * BLOCK, err);
}
