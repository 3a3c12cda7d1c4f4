#include "runner/secrets.h"

#include "base/alloc.h"
#include "base/attempt/attempt.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>

/* A sealed value: one byte of version, the nonce, the ciphertext, the tag (AES-256-GCM, NIST SP 800-38D). The name is authenticated
 * with it, so that rows cannot be exchanged for one another. */
enum { SEAL_VERSION = 1, KEY_BYTES = 32, NONCE_BYTES = 12, TAG_BYTES = 16, OVERHEAD = 1 + NONCE_BYTES + TAG_BYTES };
#define MAX_VALUE (64 * 1024)
#define MAX_NAME 128

typedef EVP_CIPHER_CTX cipher;
DEFINE_CLEANUP(cipher, EVP_CIPHER_CTX_free);

struct key {
	uint8_t bytes[KEY_BYTES];
};

static void wipe_key(struct key *key)
{
	OPENSSL_cleanse(key, sizeof(*key));
}
#define cleanup_key __attribute__((cleanup(wipe_key)))

void secret_wipe(char *value)
{
	if (!value)
		return;
	OPENSSL_cleanse(value, strlen(value));
	free(value);
}
DEFINE_CLEANUP(char, secret_wipe);

/* ---- the key ---- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode_key(const char *path, const char *text, size_t len, struct key *ret, struct error **err)
{
	if (len != 2 * KEY_BYTES + 1 || text[len - 1] != '\n')
		return error_set(err, ERROR_INVALID, 0, "%s is not a sealing key of Penstock: put back the right one", path);
	for (size_t i = 0; i < KEY_BYTES; i++) {
		int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return error_set(err, ERROR_INVALID, 0, "%s is not a sealing key of Penstock: put back the right one", path);
		ret->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

/* 1: read, 0: there is none. */
static int read_key(const char *path, struct key *ret, struct error **err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open the sealing key %s", path);
	struct stat st;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, ERROR_INVALID, 0, "the sealing key %s is not a file", path);
	if (st.st_mode & 077)
		return error_set(err, ERROR_DENIED, 0, "others may open the sealing key %s (mode %04o): chmod 0600 %s", path, st.st_mode & 07777U,
				 path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return error_set(err, ERROR_DENIED, 0, "the sealing key %s belongs to another user: chown it to the daemon's", path);
	char text[2 * KEY_BYTES + 2];
	ssize_t n = read(fd, text, sizeof(text));
	int status = n < 0 ? error_set(err, ERROR_IO, errno, "cannot read the sealing key %s", path) : decode_key(path, text, (size_t)n, ret, err);
	OPENSSL_cleanse(text, sizeof(text));
	return status < 0 ? -1 : 1;
}

static int create_key(const char *path, struct key *ret, struct error **err)
{
	char text[2 * KEY_BYTES + 2];
	random_bytes(ret->bytes, sizeof(ret->bytes));
	hex_encode(ret->bytes, sizeof(ret->bytes), text);
	text[sizeof(text) - 2] = '\n';
	int status = file_write_atomic(path, text, sizeof(text) - 1, 0600, err);
	OPENSSL_cleanse(text, sizeof(text));
	return status < 0 ? error_context(err, "sealing key") : 0;
}

static int key_path(const struct core *core, const char **ret, struct error **err)
{
	if (!core->config->key_file)
		return error_set(err, ERROR_UNSUPPORTED, 0, "stored secrets are not available in this build for local runs: use the environment");
	*ret = core->config->key_file;
	return 0;
}

/* A new key is made only while nothing is sealed: else whatever is stored could never be opened again, and nobody would know why. */
static int key_to_seal(struct core *core, struct key *ret, struct error **err)
{
	const char *path;
	if (key_path(core, &path, err) < 0)
		return -1;
	int found = read_key(path, ret, err);
	if (found != 0)
		return found < 0 ? -1 : 0;
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err, "SELECT count(*) FROM secret", "") < 0 || db_step(q, err) < 0)
		return -1;
	if (db_int(q, 0) > 0)
		return error_set(err, ERROR_MISSING, 0, "the sealing key %s is gone, but secrets are sealed with it: put it back, or remove them all",
				 path);
	return create_key(path, ret, err);
}

/* ---- sealing ---- */

/* libcrypto fails here only without memory or without the algorithm. */
static int seal(const struct key *key, const char *name, const char *value, uint8_t *ret, struct error **err)
{
	CLEANUP(EVP_CIPHER_CTX_free) cipher *ctx = EVP_CIPHER_CTX_new();
	int len = 0, value_len = (int)strlen(value);
	uint8_t *nonce = ret + 1, *text = nonce + NONCE_BYTES;
	ret[0] = SEAL_VERSION;
	random_bytes(nonce, NONCE_BYTES);
	if (!ctx || EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->bytes, nonce) != 1 ||
	    EVP_EncryptUpdate(ctx, NULL, &len, (const uint8_t *)name, (int)strlen(name)) != 1 ||
	    EVP_EncryptUpdate(ctx, text, &len, (const uint8_t *)value, value_len) != 1 || EVP_EncryptFinal_ex(ctx, text + len, &len) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, text + value_len) != 1)
		return error_set(err, ERROR_INTERNAL, 0, "libcrypto cannot seal with AES-256-GCM");
	return 0;
}

static int unseal(const struct key *key, const char *name, const uint8_t *sealed, size_t sealed_len, char **ret, struct error **err)
{
	if (sealed_len < OVERHEAD || sealed_len > OVERHEAD + MAX_VALUE || sealed[0] != SEAL_VERSION)
		return error_set(err, ERROR_INVALID, 0, "the stored value is damaged: set it again");
	CLEANUP(EVP_CIPHER_CTX_free) cipher *ctx = EVP_CIPHER_CTX_new();
	size_t value_len = sealed_len - OVERHEAD;
	const uint8_t *nonce = sealed + 1, *text = nonce + NONCE_BYTES;
	uint8_t tag[TAG_BYTES];
	memcpy(tag, text + value_len, TAG_BYTES);
	CLEANUP(secret_wipe) char *value = xcalloc(1, value_len + 1);
	int len = 0, rest = 0;
	if (!ctx || EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->bytes, nonce) != 1 ||
	    EVP_DecryptUpdate(ctx, NULL, &len, (const uint8_t *)name, (int)strlen(name)) != 1 ||
	    EVP_DecryptUpdate(ctx, (uint8_t *)value, &len, text, (int)value_len) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) != 1)
		return error_set(err, ERROR_INTERNAL, 0, "libcrypto cannot open AES-256-GCM");
	if (EVP_DecryptFinal_ex(ctx, (uint8_t *)value + len, &rest) != 1) {
		OPENSSL_cleanse(value, value_len);
		return error_set(err, ERROR_INVALID, 0,
				 "the sealing key does not fit the stored value: put back the key it was sealed with, or set it again");
	}
	*ret = STEAL(value);
	return 0;
}

/* ---- rows ---- */

static bool name_is_valid(const char *name)
{
	size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
	return len > 0 && len <= MAX_NAME && name[len] == '\0';
}

static int note(struct core *core, const char *kind, const char *name, const char *actor, struct error **err)
{
	cleanup_free char *subject = xasprintf("secret/%s", name);
	return event_append(core, kind, subject, 0, actor, NULL, err);
}

int secret_set(struct core *core, const char *name, const char *value, const char *actor, struct error **err)
{
	if (!name_is_valid(name))
		return error_set(err, ERROR_INVALID, 0, "a secret's name is made of letters, digits and underscores, %d at most", MAX_NAME);
	if (strlen(value) > MAX_VALUE)
		return error_set(err, ERROR_TOO_LARGE, 0, "secret %s: more than %d bytes", name, MAX_VALUE);
	if (!secret_is_maskable(value))
		return error_set(err, ERROR_INVALID, 0, "secret %s: too short to be masked in logs; at least 8 bytes are needed", name);
	cleanup_key struct key key;
	if (key_to_seal(core, &key, err) < 0)
		return error_context(err, "secret %s", name);
	size_t len = strlen(value) + OVERHEAD;
	cleanup_free uint8_t *sealed = xmalloc(len);
	if (seal(&key, name, value, sealed, err) < 0 ||
	    db_run(core->db, err,
		   "INSERT INTO secret (name, sealed, created_ms, created_by) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET sealed = "
		   "excluded.sealed, "
		   "created_ms = excluded.created_ms, created_by = excluded.created_by",
		   "sbis", name, (const void *)sealed, len, clock_wall_ms(), actor ? actor : "penstock") < 0)
		return error_context(err, "secret %s", name);
	return note(core, "secret.set", name, actor, err);
}

int secret_remove(struct core *core, const char *name, const char *actor, struct error **err)
{
	if (db_run(core->db, err, "DELETE FROM secret WHERE name = ?", "s", name) < 0)
		return error_context(err, "secret %s", name);
	if (db_changes(core->db) == 0)
		return error_set(err, ERROR_NOT_FOUND, 0, "there is no secret %s", name);
	return note(core, "secret.removed", name, actor, err);
}

/* The caller names the secret in its own context. */
int secret_get(struct core *core, const char *name, char **ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err, "SELECT sealed FROM secret WHERE name = ?", "s", name) < 0)
		return -1;
	int more = db_step(q, err);
	if (more < 0)
		return -1;
	if (more == 0) {
		*ret = NULL;
		return 0;
	}
	cleanup_key struct key key;
	const char *path;
	if (key_path(core, &path, err) < 0)
		return -1;
	int found = read_key(path, &key, err);
	if (found == 0)
		return error_set(err, ERROR_MISSING, 0, "the sealing key %s is gone: put it back", path);
	size_t len;
	const uint8_t *sealed = db_blob(q, 0, &len);
	if (found < 0 || unseal(&key, name, sealed, len, ret, err) < 0)
		return -1;
	return 0;
}
