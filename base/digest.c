#include "base/digest.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

struct sha256 {
	EVP_MD_CTX *context;
};

struct sha256 *sha256_new(void)
{
	struct sha256 *hash = xcalloc(1, sizeof(*hash));
	hash->context = EVP_MD_CTX_new();
	if (!hash->context || EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1)
		abort(); /* SHA-256 is in every libcrypto; this is out of memory. */
	return hash;
}

void sha256_free(struct sha256 *hash)
{
	if (!hash)
		return;
	EVP_MD_CTX_free(hash->context);
	free(hash);
}

void sha256_update(struct sha256 *hash, const void *bytes, size_t len)
{
	if (EVP_DigestUpdate(hash->context, bytes, len) != 1)
		abort();
}

void sha256_final(struct sha256 *hash, uint8_t ret[SHA256_BYTES])
{
	unsigned len;
	if (EVP_DigestFinal_ex(hash->context, ret, &len) != 1 || len != SHA256_BYTES)
		abort();
}

void digest_from_raw(const uint8_t raw[SHA256_BYTES], char ret[DIGEST_SIZE])
{
	memcpy(ret, "sha256:", 7);
	hex_encode(raw, SHA256_BYTES, ret + 7);
}

void digest_of_bytes(const void *bytes, size_t len, char ret[DIGEST_SIZE])
{
	uint8_t raw[SHA256_BYTES];
	unsigned raw_len;
	if (EVP_Digest(bytes, len, raw, &raw_len, EVP_sha256(), NULL) != 1)
		abort();
	digest_from_raw(raw, ret);
}

#define READ_BYTES ((size_t)128 * 1024)

int digest_of_file(const char *path, char ret[DIGEST_SIZE], uint64_t *ret_size, struct error **err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno == ENOENT || errno == ENOTDIR ? ERROR_NOT_FOUND : ERROR_IO, errno, "cannot read %s", path);
	CLEANUP(sha256_free) struct sha256 *hash = sha256_new();
	cleanup_free char *bytes = xmalloc(READ_BYTES);
	uint64_t size = 0;
	for (;;) {
		ssize_t n = read(fd, bytes, READ_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, ERROR_IO, errno, "cannot read %s", path);
		if (n == 0)
			break;
		sha256_update(hash, bytes, (size_t)n);
		size += (uint64_t)n;
	}
	uint8_t raw[SHA256_BYTES];
	sha256_final(hash, raw);
	digest_from_raw(raw, ret);
	if (ret_size)
		*ret_size = size;
	return 0;
}

bool digest_is_valid(const char *text)
{
	if (!text || strncmp(text, "sha256:", 7) != 0)
		return false;
	return strlen(text) == DIGEST_SIZE - 1 && strspn(text + 7, "0123456789abcdef") == (size_t)2 * SHA256_BYTES;
}

void hmac_sha256_hex(const void *key, size_t key_len, const void *bytes, size_t len, char ret[SHA256_HEX_SIZE])
{
	uint8_t raw[SHA256_BYTES];
	unsigned raw_len;
	/* A NULL key means "the key of the last call" to libcrypto, so an empty one needs an address. */
	if (key_len > INT_MAX || !HMAC(EVP_sha256(), key_len ? key : "", (int)key_len, bytes, len, raw, &raw_len))
		abort();
	hex_encode(raw, SHA256_BYTES, ret);
}

bool equal_constant_time(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void hex_encode(const uint8_t *bytes, size_t len, char *ret)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < len; i++) {
		ret[2 * i] = digits[bytes[i] >> 4];
		ret[2 * i + 1] = digits[bytes[i] & 15];
	}
	ret[2 * len] = '\0';
}

void random_bytes(void *ret, size_t len)
{
	/* The kernel's generator directly: libcrypto keeps a state that a fork would have to be careful with. */
	for (size_t have = 0; have < len;) {
		ssize_t n = getrandom((char *)ret + have, len - have, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			abort();
		have += (size_t)n;
	}
}

void random_hex(size_t n_bytes, char *ret)
{
	cleanup_free uint8_t *bytes = xmalloc(n_bytes);
	random_bytes(bytes, n_bytes);
	hex_encode(bytes, n_bytes, ret);
}
